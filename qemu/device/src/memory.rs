// SPDX-License-Identifier: GPL-2.0

//! The memory that the function accesses: the host's, and the controller's own.

mod buffer;
mod mapping;

pub use buffer::Buffer;
pub use mapping::Mapping;

/// A DMA access that nothing answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Its address.
    pub address: u64,
    /// Its length.
    pub length: usize,
    /// Whether it writes.
    pub write: bool,
}

/// Memory that a function reads and writes by DMA.
pub trait Memory {
    /// Reads from `address`.
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Fault>;

    /// Writes to `address`.
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Fault>;

    /// Reads a little-endian number from `address`.
    fn read_u64(&self, address: u64) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// The memory of a guest: what QEMU has mapped for DMA.
#[derive(Default)]
pub struct Guest(Vec<Mapping>);

impl Guest {
    /// Adds a mapping.
    pub fn map(&mut self, mapping: Mapping) {
        self.0.push(mapping);
    }

    /// Removes the mappings that begin in a range.
    pub fn unmap(&mut self, address: u64, length: u64) {
        self.0
            .retain(|mapping| mapping.address().wrapping_sub(address) >= length);
    }

    /// Returns the mapping that has the first byte of a range, the offset there, and how many
    /// bytes of the range it has.
    fn find(&self, address: u64, length: usize) -> Option<(&Mapping, usize, usize)> {
        let mapping = (self.0.iter())
            .find(|mapping| address.wrapping_sub(mapping.address()) < mapping.length() as u64)?;
        let offset = (address - mapping.address()) as usize;
        Some((mapping, offset, length.min(mapping.length() - offset)))
    }

    /// Calls `access` with each mapping that has a part of a range, the offset there, and the
    /// part.
    fn each(
        &self,
        address: u64,
        length: usize,
        write: bool,
        mut access: impl FnMut(&Mapping, usize, std::ops::Range<usize>) -> bool,
    ) -> Result<(), Fault> {
        let fault = Fault {
            address,
            length,
            write,
        };
        let mut done = 0;
        while done < length {
            let at = address.checked_add(done as u64).ok_or(fault)?;
            let (mapping, offset, size) = self.find(at, length - done).ok_or(fault)?;
            if !access(mapping, offset, done..done + size) {
                return Err(fault);
            }
            done += size;
        }
        Ok(())
    }
}

impl Memory for Guest {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Fault> {
        self.each(address, to.len(), false, |mapping, offset, part| {
            mapping.read(offset, &mut to[part])
        })
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Fault> {
        self.each(address, from.len(), true, |mapping, offset, part| {
            mapping.write(offset, &from[part])
        })
    }
}

/// All memory: the controller's own where it is, and else the guest's.
#[derive(Default)]
pub struct Bus {
    /// The guest's memory.
    pub guest: Guest,
    /// The controller's own.
    pub buffer: Buffer,
}

impl Memory for Bus {
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Fault> {
        match self.buffer.find(address, to.len()) {
            Some(offset) => self.buffer.read(offset, to),
            None => self.guest.read(address, to)?,
        }
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Fault> {
        match self.buffer.find(address, from.len()) {
            Some(offset) => self.buffer.write(offset, from),
            None => self.guest.write(address, from)?,
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Memory of tests: bytes from address 0.
    pub(crate) struct Flat(pub(crate) Vec<u8>);

    impl Flat {
        fn range(&self, address: u64, length: usize, write: bool) -> Result<usize, Fault> {
            let fault = Fault {
                address,
                length,
                write,
            };
            let end = address.checked_add(length as u64).ok_or(fault)?;
            if end > self.0.len() as u64 {
                return Err(fault);
            }
            Ok(address as usize)
        }
    }

    impl Memory for Flat {
        fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Fault> {
            let at = self.range(address, to.len(), false)?;
            to.copy_from_slice(&self.0[at..at + to.len()]);
            Ok(())
        }
        fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Fault> {
            let at = self.range(address, from.len(), true)?;
            self.0[at..at + from.len()].copy_from_slice(from);
            Ok(())
        }
    }

    fn guest(parts: &[(u64, usize, bool)]) -> Guest {
        let mut guest = Guest::default();
        for &(address, length, writable) in parts {
            guest.map(Mapping::of_our_own(address, length, writable).unwrap());
        }
        guest
    }

    #[test]
    fn an_access_may_span_mappings() {
        let mut guest = guest(&[(0x1000, 0x1000, true), (0x2000, 0x1000, true)]);
        guest.write(0x1ffe, &[1, 2, 3, 4]).unwrap();
        let mut found = [0; 2];
        guest.read(0x2000, &mut found).unwrap();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn an_access_outside_is_a_fault() {
        let mut guest = guest(&[(0x1000, 0x1000, true), (0x4000, 0x1000, false)]);
        assert!(guest.read(0xfff, &mut [0; 2]).is_err());
        assert!(guest.read(0x1fff, &mut [0; 2]).is_err());
        assert!(guest.read(u64::MAX, &mut [0; 2]).is_err());
        assert!(guest.read(0x4000, &mut [0; 2]).is_ok());
        let fault = Fault {
            address: 0x4000,
            length: 1,
            write: true,
        };
        assert_eq!(guest.write(0x4000, &[0]), Err(fault));
    }

    #[test]
    fn the_buffer_hides_the_guest() {
        let mut bus = Bus {
            guest: guest(&[(0, 0x3000, true)]),
            buffer: Buffer::new(0x1000),
        };
        bus.write(0x1000, &[1]).unwrap();
        bus.buffer.set_base(Some(0x1000));
        assert_eq!(bus.read_u64(0x1000), Ok(0));
        bus.write(0x1000, &[2]).unwrap();
        assert_eq!(bus.read_u64(0x1000), Ok(2));
        bus.buffer.set_base(None);
        assert_eq!(bus.read_u64(0x1000), Ok(1));
    }

    #[test]
    fn an_unmapped_range_is_gone() {
        let mut guest = guest(&[(0x1000, 0x1000, true), (0x2000, 0x1000, true)]);
        guest.unmap(0x1000, 0x1000);
        assert!(guest.read(0x1000, &mut [0]).is_err());
        assert!(guest.read(0x2000, &mut [0]).is_ok());
        guest.unmap(0, u64::MAX);
        assert!(guest.read(0x2000, &mut [0]).is_err());
    }
}
