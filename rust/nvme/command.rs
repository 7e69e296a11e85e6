// SPDX-License-Identifier: GPL-2.0

//! The two wire formats that nvme-core and a transport share: submission and completion entry.
//!
//! NVM Express Base Specification 2.1, section 3.3.3 (common command format: figures 92 to 98).

use crate::bindings;
use kernel::prelude::*;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// A submission queue entry: 64 bytes, little-endian (figure 92).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(8))]
pub struct Command {
    dwords: [u32; 16],
}

const _: () = assert!(size_of::<Command>() == size_of::<bindings::nvme_command>());

// SAFETY: Sixteen words without padding.
unsafe impl kernel::transmute::AsBytes for Command {}
// SAFETY: Any bit pattern is valid.
unsafe impl kernel::transmute::FromBytes for Command {}

impl Command {
    /// Data pointer, PRP entry 1 (dwords 6 and 7).
    const PRP1: usize = 6;
    /// Data pointer, PRP entry 2 (dwords 8 and 9).
    const PRP2: usize = 8;

    /// An admin or I/O command with this opcode (dword 0, bits 7:0) and all else zero.
    pub const fn new(opcode: u8) -> Self {
        let mut dwords = [0; 16];
        dwords[0] = (opcode as u32).to_le();
        Self { dwords }
    }

    /// With `value` as command dword `index` (0 to 15).
    pub const fn with_dword(mut self, index: usize, value: u32) -> Self {
        self.dwords[index] = value.to_le();
        self
    }

    /// With `nsid` as Namespace Identifier (dword 1).
    pub const fn with_nsid(self, nsid: u32) -> Self {
        self.with_dword(1, nsid)
    }

    /// With `prp1` as PRP entry 1.
    pub const fn with_prp1(self, prp1: u64) -> Self {
        self.with_dword(Self::PRP1, prp1 as u32)
            .with_dword(Self::PRP1 + 1, (prp1 >> 32) as u32)
    }

    /// Sets both PRP entries (figure 93).
    #[inline]
    pub fn set_prps(&mut self, prp1: u64, prp2: u64) {
        self.dwords[Self::PRP1] = (prp1 as u32).to_le();
        self.dwords[Self::PRP1 + 1] = ((prp1 >> 32) as u32).to_le();
        self.dwords[Self::PRP2] = (prp2 as u32).to_le();
        self.dwords[Self::PRP2 + 1] = ((prp2 >> 32) as u32).to_le();
    }

    /// The opcode (dword 0, bits 7:0).
    pub const fn opcode(&self) -> u8 {
        u32::from_le(self.dwords[0]) as u8
    }

    /// With `cid` as command identifier (dword 0, bits 31:16), for commands that are no requests.
    pub const fn with_command_id(self, cid: u16) -> Self {
        let dword0 = u32::from_le(self.dwords[0]) & 0xffff;
        self.with_dword(0, dword0 | (cid as u32) << 16)
    }

    /// For C; `&mut`, as C's prototypes are not `const`.
    pub(super) fn as_raw(&mut self) -> *mut bindings::nvme_command {
        core::ptr::from_mut(self).cast()
    }
}

/// A completion queue entry: 16 bytes, little-endian (figure 98).
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Completion {
    /// Command specific result: dwords 0 and 1.
    pub result: u64,
    /// How far the controller has fetched from the submission queue.
    pub sq_head: u16,
    /// The submission queue that the command was in.
    pub sq_id: u16,
    /// The command that is complete.
    pub command_id: u16,
    /// Status in bits 15:1, phase tag in bit 0.
    pub status: u16,
}

const _: () = assert!(size_of::<Completion>() == size_of::<bindings::nvme_completion>());

// SAFETY: The fields add up to the size, so there is no padding.
unsafe impl kernel::transmute::AsBytes for Completion {}
// SAFETY: Any bit pattern is valid.
unsafe impl kernel::transmute::FromBytes for Completion {}

/// Why the controller refused a command: status code type and status code (figure 101), without
/// the phase tag; above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandStatus(pub u16);

impl CommandStatus {
    /// The status code type and status code, without the retry bits.
    pub const fn code(self) -> u16 {
        self.0 & 0x7ff
    }
}

impl From<CommandStatus> for Error {
    /// The errno of a refused command where nothing better is known.
    fn from(_: CommandStatus) -> Self {
        EIO
    }
}
