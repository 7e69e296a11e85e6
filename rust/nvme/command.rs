// SPDX-License-Identifier: GPL-2.0

//! The two wire formats that nvme-core and a transport share: submission and completion entry.
//!
//! NVM Express Base Specification 2.1, section 3.3.3 (common command format: figures 92 to 98).

use crate::{
    bindings,
    layout::assert_same_layout, //
};
use kernel::prelude::*;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// How many entries the admin queue has, as nvme-core has it.
pub const ADMIN_QUEUE_DEPTH: u16 = bindings::NVME_AQ_DEPTH as u16;

/// The command identifier of Asynchronous Event Requests; they are no block requests.
pub const ASYNC_EVENT_ID: CommandId = CommandId::new(bindings::NVME_AQ_BLK_MQ_DEPTH as u16, 0);

/// A submission queue entry: 64 bytes, little-endian (figure 92).
///
/// # Examples
///
/// ```
/// # use kernel_ext::nvme::Command;
/// /// Identify (section 5.1.13) for the structure that `cns` names.
/// const fn identify(nsid: u32, cns: u8) -> Command {
///     Command::new(0x06).with_nsid(nsid).with_dword(10, cns as u32)
/// }
///
/// assert_eq!(identify(1, 0).opcode(), 0x06);
/// assert_eq!(identify(1, 0).dword(1), 1);
/// ```
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, align(8))]
pub struct Command {
    dwords: [u32; 16],
}

// SAFETY: Sixteen words without padding.
unsafe impl kernel::transmute::AsBytes for Command {}
// SAFETY: Any bit pattern is valid.
unsafe impl kernel::transmute::FromBytes for Command {}

impl Command {
    /// PRP or SGL for Data Transfer (dword 0, bits 15:14): PRPs if they are 0.
    const PSDT_MASK: u32 = 0b11 << 14;
    /// An SGL; the metadata pointer is the address of a contiguous buffer.
    const PSDT_SGL: u32 = 0b01 << 14;
    /// An SGL; the metadata pointer is that of an SGL segment.
    const PSDT_SGL_BOTH: u32 = 0b10 << 14;

    /// Metadata pointer (dwords 4 and 5).
    const MPTR: usize = 4;
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
    // Inlined, so that no check is left for a constant index.
    #[inline]
    pub const fn with_dword(mut self, index: usize, value: u32) -> Self {
        self.dwords[index] = value.to_le();
        self
    }

    /// With `nsid` as Namespace Identifier (dword 1).
    pub const fn with_nsid(self, nsid: u32) -> Self {
        self.with_dword(1, nsid)
    }

    /// Command dword `index` (0 to 15).
    #[inline]
    pub const fn dword(&self, index: usize) -> u32 {
        u32::from_le(self.dwords[index])
    }

    /// Has the data pointer be both PRP entries (figure 93).
    #[inline]
    pub fn set_prps(&mut self, prp1: u64, prp2: u64) {
        self.set_psdt(0);
        self.set_qword(Self::PRP1, prp1);
        self.set_qword(Self::PRP2, prp2);
    }

    /// Has the data pointer be an SGL descriptor, given in two words.
    #[inline]
    pub fn set_sgl(&mut self, descriptor: [u64; 2]) {
        self.set_psdt(Self::PSDT_SGL);
        self.set_qword(Self::PRP1, descriptor[0]);
        self.set_qword(Self::PRP2, descriptor[1]);
    }

    /// Has the metadata pointer be the address of a contiguous buffer.
    #[inline]
    pub fn set_metadata(&mut self, address: u64) {
        self.set_qword(Self::MPTR, address);
    }

    /// Has the metadata pointer be the address of a descriptor. The data pointer is one, too.
    #[inline]
    pub fn set_metadata_sgl(&mut self, address: u64) {
        self.set_psdt(Self::PSDT_SGL_BOTH);
        self.set_qword(Self::MPTR, address);
    }

    /// Sets dwords `index` and the next one.
    #[inline]
    fn set_qword(&mut self, index: usize, value: u64) {
        // At once: the compiler does not put two halves together.
        if let Some(place) = self.as_mut_bytes().get_mut(4 * index..4 * index + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    #[inline]
    fn set_psdt(&mut self, value: u32) {
        self.dwords[0] = ((self.dword(0) & !Self::PSDT_MASK) | value).to_le();
    }

    /// The opcode (dword 0, bits 7:0).
    pub const fn opcode(&self) -> u8 {
        self.dword(0) as u8
    }

    /// The command identifier (dword 0, bits 31:16).
    pub const fn id(&self) -> CommandId {
        CommandId((self.dword(0) >> 16) as u16)
    }

    /// With `id` as command identifier (dword 0, bits 31:16), for commands that are no requests.
    pub const fn with_command_id(self, id: CommandId) -> Self {
        let dword0 = self.dword(0) & 0xffff;
        self.with_dword(0, dword0 | (id.into_raw() as u32) << 16)
    }

    /// For C; `&mut`, as C's prototypes are not `const`.
    pub(super) fn as_raw(&mut self) -> *mut bindings::nvme_command {
        core::ptr::from_mut(self).cast()
    }
}

/// A command identifier: the tag of the request, 12 bits, and above it a generation of 4 bits. By that a
/// completion that comes late, or twice, is told from one for the next command with the same tag.
///
/// # Examples
///
/// ```
/// # use kernel_ext::nvme::CommandId;
/// let id = CommandId::new(0x0abc, 5);
/// assert_eq!(id.into_raw(), 0x5abc);
/// assert_eq!((id.tag(), id.generation()), (0x0abc, 5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct CommandId(u16);

impl CommandId {
    const TAG_BITS: u32 = 12;

    /// The largest tag.
    pub const MAX_TAG: u16 = (1 << Self::TAG_BITS) - 1;

    /// That of the request with `tag`, in its `generation`; each modulo what there is room for.
    #[inline]
    pub const fn new(tag: u16, generation: u8) -> Self {
        Self((generation as u16) << Self::TAG_BITS | tag & Self::MAX_TAG)
    }

    /// From what is in a queue entry.
    #[inline]
    pub(super) const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    /// As it is in a queue entry.
    #[inline]
    pub const fn into_raw(self) -> u16 {
        self.0
    }

    /// The tag.
    #[inline]
    pub const fn tag(self) -> u16 {
        self.0 & Self::MAX_TAG
    }

    /// The generation, from 0 to 15.
    #[inline]
    pub const fn generation(self) -> u8 {
        (self.0 >> Self::TAG_BITS) as u8
    }
}

/// A completion queue entry: 16 bytes, little-endian (figure 98).
///
/// # Examples
///
/// ```
/// # use kernel_ext::nvme::{CommandId, Completion};
/// let entry = Completion::default().with_id(CommandId::new(3, 1));
/// assert_eq!(entry.id().tag(), 3);
/// ```
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Completion {
    /// Command specific result: dwords 0 and 1.
    pub result: u64,
    /// How far the controller has fetched from the submission queue.
    pub sq_head: u16,
    /// The submission queue that the command was in.
    pub sq_id: u16,
    /// The command that is complete: a [`CommandId`].
    pub(super) command_id: u16,
    /// Status in bits 15:1, phase tag in bit 0.
    pub status: u16,
}

// SAFETY: The fields add up to the size, so there is no padding.
unsafe impl kernel::transmute::AsBytes for Completion {}
// SAFETY: Any bit pattern is valid.
unsafe impl kernel::transmute::FromBytes for Completion {}

impl core::fmt::LowerHex for CommandId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl Completion {
    /// The command that is complete, if the controller is right.
    #[inline]
    pub fn id(&self) -> CommandId {
        CommandId(u16::from_le(self.command_id))
    }

    /// The entry as it would be for another command.
    #[must_use]
    pub fn with_id(self, id: CommandId) -> Self {
        Self {
            command_id: id.into_raw().to_le(),
            ..self
        }
    }
}

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

assert_same_layout! {
    Completion = bindings::nvme_completion,
    Command = bindings::nvme_command,
}

#[kunit_tests(kernel_ext_nvme_command)]
mod tests {
    use super::*;
    use zerocopy::{
        FromBytes,
        IntoBytes, //
    };

    /// Whether `bytes` are in `command` at `offset`, and all else is zero.
    fn has_only(command: &Command, offset: usize, bytes: &[u8]) -> bool {
        let all = command.as_bytes();
        let end = offset + bytes.len();
        all.get(offset..end) == Some(bytes)
            && (0..)
                .zip(all)
                .all(|(i, &byte)| byte == 0 || (offset <= i && i < end))
    }

    #[test]
    fn command_identifiers() {
        let id = CommandId::new(0x0abc, 0x5);
        assert_eq!(id.into_raw(), 0x5abc);
        assert_eq!((id.tag(), id.generation()), (0x0abc, 5));
        // Neither spills over into the other.
        assert_eq!(CommandId::new(0xf001, 0xf2).into_raw(), 0x2001);
    }

    #[test]
    fn fields_are_where_the_specification_has_them() {
        let command = Command::new(0x9c);
        assert!(has_only(&command, 0, &[0x9c]));
        let command = Command::new(0).with_command_id(CommandId(0x1234));
        assert!(has_only(&command, 2, &[0x34, 0x12]));
        let mut command = Command::new(0);
        command.set_prps(0x0102_0304_0506_0708, 0x1112_1314_1516_1718);
        let prps = [
            8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
        ];
        assert!(has_only(&command, 24, &prps));
        let mut command = Command::new(0);
        command.set_metadata(0x0102_0304_0506_0708);
        assert!(has_only(&command, 16, &[8, 7, 6, 5, 4, 3, 2, 1]));
    }

    #[test]
    fn sgls_are_told_from_prps() {
        let mut command = Command::new(0);
        command.set_sgl([0x0102_0304_0506_0708, 0x1112_1314_1516_1718]);
        assert_eq!(command.dword(0), 0x4000);
        assert_eq!(command.dword(6), 0x0506_0708);
        assert_eq!(command.dword(9), 0x1112_1314);
        command.set_metadata_sgl(0x2122_2324_2526_2728);
        assert_eq!(command.dword(0), 0x8000);
        assert_eq!(command.dword(4), 0x2526_2728);
        command.set_prps(0, 0);
        assert_eq!(command.dword(0), 0);
        // Fused Operation, opcode and identifier stay.
        let mut command = Command::new(0).with_dword(0, 0x1234_3fff);
        command.set_sgl([0; 2]);
        assert_eq!(command.dword(0), 0x1234_7fff);
    }

    #[test]
    fn dwords_are_little_endian() {
        for i in 0..16 {
            let command = Command::new(0).with_dword(i, 0x1234_5678);
            assert!(has_only(&command, 4 * i, &[0x78, 0x56, 0x34, 0x12]));
            assert_eq!(command.dword(i), 0x1234_5678);
        }
    }

    #[test]
    fn setting_one_field_keeps_the_others() {
        let command = Command::new(0x81).with_dword(0, 0xffff_c381);
        let mut command = command.with_command_id(CommandId(0x0042));
        assert_eq!(command.dword(0), 0x0042_c381);
        assert_eq!(command.opcode(), 0x81);
        // What was in the PRP entries goes.
        command.set_prps(u64::MAX, u64::MAX);
        command.set_prps(1, 2);
        assert_eq!(command.dword(6), 1);
        assert_eq!(command.dword(7), 0);
        assert_eq!(command.dword(8), 2);
        assert_eq!(command.dword(9), 0);
        // And so does what kind of pointer it was.
        assert_eq!(command.dword(0), 0x0042_0381);
    }

    #[test]
    fn completion_is_as_the_controller_writes_it() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        let completion = Completion::read_from_bytes(&bytes).unwrap_or_default();
        assert_eq!(u64::from_le(completion.result), 0x0807_0605_0403_0201);
        assert_eq!(u16::from_le(completion.sq_head), 0x0a09);
        assert_eq!(u16::from_le(completion.sq_id), 0x0c0b);
        assert_eq!(completion.id().into_raw(), 0x0e0d);
        assert_eq!(u16::from_le(completion.status), 0x100f);
    }

    #[test]
    fn status_code_is_without_the_retry_bits() {
        // Do Not Retry, More and Command Retry Delay are above type (11 bits with the code).
        assert_eq!(CommandStatus(0x7fff).code(), 0x7ff);
        assert_eq!(CommandStatus(0x4120).code(), 0x120);
        assert_eq!(CommandStatus(0x7800).code(), 0);
    }
}
