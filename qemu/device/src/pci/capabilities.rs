// SPDX-License-Identifier: GPL-2.0

//! The capabilities of the function.

use super::{Space, VECTORS};
use crate::settings::Settings;

/// Device Control, from the beginning of the PCI Express capability.
pub(super) const DEVICE_CONTROL: usize = 0x08;
/// Initiate Function Level Reset, in the second byte of Device Control.
pub(super) const INITIATE_RESET: u8 = 1 << 7;
/// The size of the BAR of the MSI-X table, whose second half has the pending bits.
pub(super) const VECTORS_SIZE: u64 = 0x1_0000;

const POWER_MANAGEMENT: u8 = 0x01;
const MSI: u8 = 0x05;
const EXPRESS: u8 = 0x10;
const MSIX: u8 = 0x11;
/// The id of the extended capability that has a serial number, in version 1.
const SERIAL: u32 = 1 << 16 | 0x0003;

impl Space {
    /// Links a capability at a place.
    fn link(&mut self, at: usize, id: u8) {
        self.put(self.last, &[at as u8]);
        self.put(at, &[id]);
        self.last = at + 1;
    }

    pub(super) fn add_capabilities(&mut self, settings: &Settings) {
        self.add_power_management(0x40);
        if settings.msi > 0 {
            self.add_msi(0x50, settings.msi);
        }
        if settings.msix > 0 {
            self.add_msix(0x70, settings.msix);
        }
        if settings.express {
            self.add_express(0x80);
            self.put(0x100, &SERIAL.to_le_bytes());
        }
    }

    fn add_power_management(&mut self, at: usize) {
        self.link(at, POWER_MANAGEMENT);
        // Version 3; no soft reset when the function leaves D3.
        self.put(at + 2, &[3]);
        self.put(at + 4, &[1 << 3]);
        self.allow(at + 4, &[3]);
    }

    fn add_msi(&mut self, at: usize, messages: u16) {
        self.link(at, MSI);
        // 64 bits wide.
        let control = 1 << 7 | (messages.ilog2() as u16) << 1;
        self.put(at + 2, &control.to_le_bytes());
        self.allow(at + 2, &[0x71]);
        self.allow(at + 4, &(!3u64).to_le_bytes());
        self.allow(at + 12, &[0xff; 2]);
    }

    fn add_msix(&mut self, at: usize, vectors: u16) {
        self.link(at, MSIX);
        self.put(at + 2, &(vectors - 1).to_le_bytes());
        self.allow(at + 3, &[0xc0]);
        self.put(at + 4, &(VECTORS as u32).to_le_bytes());
        let pending = VECTORS_SIZE as u32 / 2 | VECTORS as u32;
        self.put(at + 8, &pending.to_le_bytes());
    }

    fn add_express(&mut self, at: usize) {
        self.link(at, EXPRESS);
        self.express = Some(at);
        self.put(at + 2, &[2]);
        // Function level reset, role-based error reporting.
        self.put(at + 4, &(1u32 << 28 | 1 << 15).to_le_bytes());
        self.allow(at + DEVICE_CONTROL, &[0xff, 0x7f]);
        // One lane of the first generation, which can be in L0s and L1.
        self.put(at + 0xc, &0x0c11u16.to_le_bytes());
        self.allow(at + 0x10, &[0x43]);
        self.put(at + 0x12, &[0x11]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::tests::read;

    /// Returns the ids of the capabilities, and where they are.
    fn list(space: &Space) -> Vec<(u8, usize)> {
        let mut found = Vec::new();
        let mut at = read(space, 0x34) as usize & 0xff;
        while at > 0 {
            let head = read(space, at);
            found.push((head as u8, at));
            at = head as usize >> 8 & 0xff;
        }
        found
    }

    fn find(space: &Space, id: u8) -> Option<usize> {
        Some(list(space).iter().find(|one| one.0 == id)?.1)
    }

    #[test]
    fn only_what_is_set_is_there() {
        let none = Settings {
            msix: 0,
            express: false,
            ..Settings::default()
        };
        assert_eq!(list(&Space::new(&none)), [(POWER_MANAGEMENT, 0x40)]);
        let all = Settings {
            msi: 4,
            ..Settings::default()
        };
        let ids: Vec<u8> = list(&Space::new(&all)).iter().map(|one| one.0).collect();
        assert_eq!(ids, [POWER_MANAGEMENT, MSI, MSIX, EXPRESS]);
    }

    #[test]
    fn messages_are_counted() {
        let settings = Settings {
            msi: 8,
            msix: 5,
            ..Settings::default()
        };
        let space = Space::new(&settings);
        let control = |id| read(&space, find(&space, id).unwrap()) >> 16;
        assert_eq!(control(MSI) >> 1 & 7, 3);
        assert_eq!(control(MSIX) & 0x7ff, 4);
    }

    #[test]
    fn the_reset_is_initiated_by_its_bit_alone() {
        let mut space = Space::new(&Settings::default());
        let at = find(&space, EXPRESS).unwrap() + DEVICE_CONTROL;
        assert!(!space.write(at, &[0xff, 0x7f]));
        assert!(space.write(at, &[0x00, 0x80]));
        // The bit reads as 0.
        assert_eq!(read(&space, at) & 0x8000, 0);
        assert!(space.write(at + 1, &[0x80]));
    }
}
