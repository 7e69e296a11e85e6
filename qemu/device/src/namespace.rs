// SPDX-License-Identifier: GPL-2.0

//! Namespaces: disks in memory.

use crate::settings::{NamespaceSettings, Settings};

/// A namespace.
pub struct Namespace {
    id: u32,
    /// What distinguishes it from the namespaces of other controllers.
    owner: u64,
    formats: Vec<u8>,
    format: u8,
    data: Vec<u8>,
}

/// A range of blocks that is not in the namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutOfRange;

impl Namespace {
    /// Returns the namespaces of a controller, which are zeroes.
    pub fn all(settings: &Settings) -> Vec<Namespace> {
        // FNV-1a.
        let owner = settings
            .serial
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        (settings.namespaces.iter())
            .map(|one| Namespace::new(one, owner))
            .collect()
    }

    fn new(settings: &NamespaceSettings, owner: u64) -> Self {
        Namespace {
            id: settings.id,
            owner,
            formats: settings.formats.clone(),
            format: settings.format,
            data: vec![0; (settings.mib as usize) << 20],
        }
    }

    /// Returns its identifier.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns the logarithm of the bytes of a block.
    pub fn shift(&self) -> u8 {
        let format = usize::from(self.format);
        self.formats.get(format).copied().unwrap_or(9).min(30)
    }

    /// Returns the number of its blocks.
    pub fn blocks(&self) -> u64 {
        self.data.len() as u64 >> self.shift()
    }

    /// Returns the data of some blocks.
    pub fn range(&mut self, first: u64, blocks: u64) -> Result<&mut [u8], OutOfRange> {
        let end = first.checked_add(blocks).ok_or(OutOfRange)?;
        if end > self.blocks() {
            return Err(OutOfRange);
        }
        let shift = self.shift();
        Ok(&mut self.data[(first as usize) << shift..(end as usize) << shift])
    }

    /// Erases it, and gives it another format. Returns whether there is that format.
    pub fn change_format(&mut self, format: u8) -> bool {
        if usize::from(format) >= self.formats.len() {
            return false;
        }
        self.format = format;
        self.data.fill(0);
        true
    }

    /// Returns Identify Namespace (NVM Command Set Specification 1.1, section 4.1.5.1).
    pub fn identify(&self) -> Vec<u8> {
        let mut data = vec![0; 4096];
        // NSZE, NCAP and NUSE.
        for at in [0, 8, 16] {
            data[at..at + 8].copy_from_slice(&self.blocks().to_le_bytes());
        }
        data[25] = self.formats.len().saturating_sub(1) as u8; // NLBAF
        data[26] = self.format; // FLBAS
        data[104..120].copy_from_slice(&self.unique()); // NGUID
        for (index, shift) in self.formats.iter().enumerate().take(16) {
            data[128 + 4 * index + 2] = *shift; // LBADS
        }
        data
    }

    /// Returns the Namespace Identification Descriptor list.
    pub fn descriptors(&self) -> Vec<u8> {
        let mut data = vec![0; 4096];
        data[..2].copy_from_slice(&[3, 16]); // NGUID
        data[4..20].copy_from_slice(&self.unique());
        data[20..22].copy_from_slice(&[4, 1]); // CSI, the NVM command set
        data
    }

    /// Returns the globally unique identifier.
    fn unique(&self) -> [u8; 16] {
        let mut bytes = [0x52; 16];
        bytes[4..12].copy_from_slice(&self.owner.to_be_bytes());
        bytes[12..].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(serial: &str) -> Settings {
        let namespace = NamespaceSettings {
            id: 5,
            mib: 1,
            formats: vec![9, 12],
            format: 0,
        };
        Settings {
            serial: serial.into(),
            namespaces: vec![namespace],
            ..Settings::default()
        }
    }

    fn namespace() -> Namespace {
        Namespace::all(&settings("serial")).remove(0)
    }

    #[test]
    fn blocks_are_as_large_as_the_format_says() {
        let mut namespace = namespace();
        assert_eq!(namespace.blocks(), 2048);
        namespace.range(8, 1).unwrap().fill(7);
        assert_eq!(namespace.range(7, 3).unwrap()[511..514], [0, 7, 7]);
        assert!(namespace.change_format(1));
        assert_eq!(namespace.blocks(), 256);
        assert_eq!(namespace.range(1, 1).unwrap(), [0; 4096]);
        assert!(!namespace.change_format(2));
    }

    #[test]
    fn no_other_namespace_has_the_same_identifier() {
        let unique = |serial| Namespace::all(&settings(serial))[0].unique();
        assert_eq!(unique("one"), unique("one"));
        assert_ne!(unique("one"), unique("two"));
        let mut two = settings("one");
        two.namespaces[0].id = 6;
        assert_ne!(Namespace::all(&two)[0].unique(), unique("one"));
    }

    #[test]
    fn a_range_ends_with_the_namespace() {
        let mut namespace = namespace();
        assert!(namespace.range(2047, 1).is_ok());
        assert_eq!(namespace.range(2047, 2), Err(OutOfRange));
        assert_eq!(namespace.range(u64::MAX, 1), Err(OutOfRange));
    }

    #[test]
    fn identify_has_size_and_formats() {
        let data = namespace().identify();
        assert_eq!(data[..2], [0, 8]);
        assert_eq!(data[25..27], [1, 0]);
        assert_eq!((data[130], data[134]), (9, 12));
    }
}
