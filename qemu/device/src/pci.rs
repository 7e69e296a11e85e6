// SPDX-License-Identifier: GPL-2.0

//! The configuration space of the PCI function.

mod capabilities;

use crate::settings::Settings;

/// The length of the configuration space.
pub const LENGTH: usize = 4096;
/// The BAR of the registers.
pub const REGISTERS: usize = 0;
/// The BAR of the controller memory buffer.
pub const BUFFER: usize = 2;
/// The BAR of the MSI-X table and its pending bits.
pub const VECTORS: usize = 4;

const COMMAND: usize = 0x04;
const BUS_MASTER: u8 = 1 << 2;
const STATUS: usize = 0x06;
const CLASS: usize = 0x08;
const BARS: usize = 0x10;
const SUBSYSTEM: usize = 0x2c;
const CAPABILITIES: usize = 0x34;
const LINE: usize = 0x3c;
const PIN: usize = 0x3d;
/// An NVMe I/O controller.
const NVME: u32 = 0x010802;

/// Returns the size of a BAR; 0 for one that does not exist.
pub fn bar_size(settings: &Settings, bar: usize) -> u64 {
    match bar {
        REGISTERS => settings.bar,
        BUFFER => u64::from(settings.cmb_mib) << 20,
        VECTORS if settings.msix > 0 => capabilities::VECTORS_SIZE,
        _ => 0,
    }
}

/// The configuration space.
pub struct Space {
    bytes: [u8; LENGTH],
    writable: [u8; LENGTH],
    /// The end of the list of capabilities, where the next one is linked.
    last: usize,
    /// Where the PCI Express capability is.
    express: Option<usize>,
}

impl Space {
    /// Returns the space of a function.
    pub fn new(settings: &Settings) -> Self {
        let mut space = Space {
            bytes: [0; LENGTH],
            writable: [0; LENGTH],
            last: CAPABILITIES,
            express: None,
        };
        space.put(0, &settings.vendor.to_le_bytes());
        space.put(2, &settings.device.to_le_bytes());
        space.allow(COMMAND, &[0x47, 0x05]);
        space.put(STATUS, &[0x10]);
        space.put(CLASS, &(NVME << 8 | 2).to_le_bytes());
        space.put(SUBSYSTEM, &settings.vendor.to_le_bytes());
        space.put(SUBSYSTEM + 2, &settings.device.to_le_bytes());
        space.allow(LINE, &[0xff]);
        space.put(PIN, &[u8::from(settings.intx)]);
        for bar in [REGISTERS, BUFFER, VECTORS] {
            let size = bar_size(settings, bar);
            if size > 0 {
                // 64 bits wide, and prefetchable if it is memory.
                space.put(BARS + 4 * bar, &[if bar == BUFFER { 0xc } else { 0x4 }]);
                space.allow(BARS + 4 * bar, &(!(size - 1) & !0xf).to_le_bytes());
            }
        }
        space.add_capabilities(settings);
        space
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn allow(&mut self, at: usize, mask: &[u8]) {
        self.writable[at..at + mask.len()].copy_from_slice(mask);
    }

    /// Reads from the space. What is beyond its end is all ones.
    pub fn read(&self, at: usize, to: &mut [u8]) {
        for (offset, byte) in to.iter_mut().enumerate() {
            *byte = self.bytes.get(at + offset).copied().unwrap_or(0xff);
        }
    }

    /// Writes to the space. Returns whether that starts a function level reset.
    pub fn write(&mut self, at: usize, from: &[u8]) -> bool {
        let mut reset = false;
        for (at, new) in (at..LENGTH).zip(from) {
            let mask = self.writable[at];
            self.bytes[at] = self.bytes[at] & !mask | new & mask;
            reset |= self.express.is_some_and(|express| {
                at == express + capabilities::DEVICE_CONTROL + 1
                    && new & capabilities::INITIATE_RESET != 0
            });
        }
        reset
    }

    /// Returns the address of a BAR.
    pub fn bar(&self, bar: usize) -> u64 {
        let mut bytes = [0; 8];
        self.read(BARS + 4 * bar, &mut bytes);
        u64::from_le_bytes(bytes) & !0xf
    }

    /// Returns whether the host lets the function access memory, and so send messages.
    pub fn is_master(&self) -> bool {
        self.bytes[COMMAND] & BUS_MASTER != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn read(space: &Space, at: usize) -> u32 {
        let mut bytes = [0; 4];
        space.read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn only_what_may_be_written_changes() {
        let mut space = Space::new(&Settings::default());
        let before = read(&space, 0);
        space.write(0, &[0; 4]);
        assert_eq!(read(&space, 0), before);
        assert!(!space.is_master());
        space.write(COMMAND, &[0xff, 0xff]);
        assert!(space.is_master());
        assert_eq!(read(&space, COMMAND), 0x0010_0547);
    }

    #[test]
    fn a_bar_tells_its_size() {
        let mut space = Space::new(&Settings::default());
        space.write(BARS, &[0xff; 8]);
        assert_eq!(read(&space, BARS), 0xffff_c004);
        assert_eq!(read(&space, BARS + 4), 0xffff_ffff);
        space.write(BARS + 8, &[0xff; 4]);
        assert_eq!(read(&space, BARS + 8), 0);
    }

    #[test]
    fn the_buffer_has_a_bar_if_there_is_one() {
        let settings = Settings {
            cmb_mib: 2,
            ..Settings::default()
        };
        let mut space = Space::new(&settings);
        space.write(BARS + 4 * BUFFER, &[0xff; 8]);
        assert_eq!(read(&space, BARS + 4 * BUFFER), 0xffe0_000c);
        space.write(BARS + 4 * BUFFER, &[0, 0, 0x40, 0, 1, 0, 0, 0]);
        assert_eq!(space.bar(BUFFER), 0x1_0040_0000);
    }

    #[test]
    fn an_access_beyond_the_end_is_harmless() {
        let mut space = Space::new(&Settings::default());
        assert!(!space.write(LENGTH - 2, &[0xff; 4]));
        assert_eq!(read(&space, LENGTH - 2), 0xffff_0000);
    }
}
