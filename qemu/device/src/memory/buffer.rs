// SPDX-License-Identifier: GPL-2.0

//! The controller's own memory (CMB), which is at an address of the host's, too.

/// The controller memory buffer.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    base: Option<u64>,
}

impl Buffer {
    /// Returns a buffer of zeroes, which commands cannot name yet.
    pub fn new(length: usize) -> Self {
        Buffer {
            bytes: vec![0; length],
            base: None,
        }
    }

    /// Sets the address by which commands name it.
    pub fn set_base(&mut self, base: Option<u64>) {
        self.base = base;
    }

    /// Returns the offset of a range of addresses, if all of it is in the buffer.
    pub(crate) fn find(&self, address: u64, length: usize) -> Option<u64> {
        let offset = address.checked_sub(self.base?)?;
        let end = offset.checked_add(length as u64)?;
        (end <= self.bytes.len() as u64).then_some(offset)
    }

    /// Reads from an offset. What is beyond the end is all ones.
    pub fn read(&self, offset: u64, to: &mut [u8]) {
        for (at, byte) in (offset as usize..).zip(to) {
            *byte = self.bytes.get(at).copied().unwrap_or(0xff);
        }
    }

    /// Writes to an offset.
    pub fn write(&mut self, offset: u64, from: &[u8]) {
        for (at, byte) in (offset as usize..).zip(from) {
            if let Some(to) = self.bytes.get_mut(at) {
                *to = *byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_where_the_buffer_is() {
        let mut buffer = Buffer::new(0x1000);
        assert_eq!(buffer.find(0, 1), None);
        buffer.set_base(Some(0x1_0000));
        assert_eq!(buffer.find(0x1_0000, 0x1000), Some(0));
        assert_eq!(buffer.find(0x1_0ff8, 8), Some(0xff8));
        assert_eq!(buffer.find(0x1_0ff8, 9), None);
        assert_eq!(buffer.find(0xffff, 1), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut buffer = Buffer::new(4);
        buffer.write(2, &[1, 2, 3]);
        let mut found = [0; 4];
        buffer.read(1, &mut found);
        assert_eq!(found, [0, 1, 2, 0xff]);
    }
}
