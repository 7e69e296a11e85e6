// SPDX-License-Identifier: GPL-2.0

//! Commands, and the entries that complete them (Base Specification 2.1, sections 4.1 and 4.2).

/// A submission queue entry.
#[derive(Clone, Copy, Debug)]
pub struct Command(pub [u8; 64]);

impl Command {
    /// Returns a command of zeroes, but for its opcode.
    pub fn new(opcode: u8) -> Self {
        let mut bytes = [0; 64];
        bytes[0] = opcode;
        Command(bytes)
    }

    /// Returns command dword `n`.
    pub fn dword(&self, n: usize) -> u32 {
        u32::from_le_bytes([0, 1, 2, 3].map(|byte| self.0[4 * n + byte]))
    }

    /// Returns command dwords `n` and `n + 1`.
    pub fn qword(&self, n: usize) -> u64 {
        u64::from(self.dword(n)) | u64::from(self.dword(n + 1)) << 32
    }

    /// Sets command dword `n`.
    pub fn with(mut self, n: usize, value: u32) -> Self {
        self.0[4 * n..4 * n + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// Returns the opcode.
    pub fn opcode(&self) -> u8 {
        self.0[0]
    }

    /// Returns PSDT: 0 for PRPs, else SGLs.
    pub fn psdt(&self) -> u8 {
        self.0[1] >> 6
    }

    /// Returns the command identifier.
    pub fn identifier(&self) -> u16 {
        u16::from_le_bytes([self.0[2], self.0[3]])
    }

    /// Returns the namespace identifier.
    pub fn namespace(&self) -> u32 {
        self.dword(1)
    }
}

/// A status: its code in bits 7:0, the type of the code in bits 10:8, and DNR in bit 14.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status(pub u16);

#[allow(missing_docs)] // The specification's own names.
impl Status {
    pub const SUCCESS: Status = Status(0);
    pub const INVALID_OPCODE: Status = Status(0x1);
    pub const INVALID_FIELD: Status = Status(0x2);
    pub const DATA_TRANSFER_ERROR: Status = Status(0x4);
    pub const ABORT_REQUESTED: Status = Status(0x7);
    pub const INVALID_NAMESPACE: Status = Status(0xb);
    pub const COMMAND_SEQUENCE_ERROR: Status = Status(0xc);
    pub const INVALID_SGL_SEGMENT: Status = Status(0xd);
    pub const SGL_LENGTH_INVALID: Status = Status(0xf);
    pub const SGL_TYPE_INVALID: Status = Status(0x11);
    pub const PRP_OFFSET_INVALID: Status = Status(0x13);
    pub const LBA_OUT_OF_RANGE: Status = Status(0x80);
    pub const COMPLETION_QUEUE_INVALID: Status = Status(0x100);
    pub const INVALID_QUEUE_IDENTIFIER: Status = Status(0x101);
    pub const INVALID_QUEUE_SIZE: Status = Status(0x102);
    pub const ABORT_LIMIT_EXCEEDED: Status = Status(0x103);
    pub const EVENT_LIMIT_EXCEEDED: Status = Status(0x105);
    pub const INVALID_VECTOR: Status = Status(0x108);
    pub const INVALID_LOG_PAGE: Status = Status(0x109);
    pub const INVALID_FORMAT: Status = Status(0x10a);
    pub const INVALID_QUEUE_DELETION: Status = Status(0x10c);
}

/// A completion queue entry, but for its phase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Completion {
    /// Dword 0, the result.
    pub result: u32,
    /// SQHD.
    pub head: u16,
    /// SQID.
    pub queue: u16,
    /// CID.
    pub identifier: u16,
    /// The status.
    pub status: Status,
}

impl Completion {
    /// Returns the entry as it is in memory.
    pub fn bytes(&self, phase: bool) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.result.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.head.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.queue.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.identifier.to_le_bytes());
        let status = self.status.0 << 1 | u16::from(phase);
        bytes[14..].copy_from_slice(&status.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_command_are_where_they_belong() {
        let mut command = Command::new(2).with(1, 9).with(10, 1).with(11, 2);
        command.0[1] = 0x40;
        command.0[2..4].copy_from_slice(&[0x34, 0x12]);
        assert_eq!(command.opcode(), 2);
        assert_eq!(command.psdt(), 1);
        assert_eq!(command.identifier(), 0x1234);
        assert_eq!(command.namespace(), 9);
        assert_eq!(command.qword(10), 0x2_0000_0001);
    }

    #[test]
    fn fields_of_an_entry_are_where_they_belong() {
        let entry = Completion {
            result: 0x04030201,
            head: 0x0605,
            queue: 0x0807,
            identifier: 0x0a09,
            status: Status(0x4002),
        };
        let bytes = [1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 0x04, 0x80];
        assert_eq!(entry.bytes(false), bytes);
        assert_eq!(entry.bytes(true)[14], 0x05);
    }
}
