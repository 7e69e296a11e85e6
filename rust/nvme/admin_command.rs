// SPDX-License-Identifier: GPL-2.0

//! Admin commands whose type says what data they transfer.

use super::Command;
use core::marker::PhantomData;
use kernel::prelude::*;

mod sealed {
    /// Only this crate says what commands transfer: what the controller writes must fit.
    pub trait Sealed {}
}
use sealed::Sealed;

/// What an admin command transfers between the controller and a buffer of the caller's.
///
/// # Examples
///
/// ```
/// # use kernel_ext::nvme::{AdminCommand, AdminError, Controller, Transfer, Transport};
/// /// Sends a command that may be refused.
/// fn send<T: Transport, D: Transfer>(
///     ctrl: &Controller<T>,
///     command: AdminCommand<D>,
///     buffer: D::Buffer<'_>,
/// ) -> Result<(), AdminError> {
///     match ctrl.admin_command(command, buffer) {
///         Err(AdminError::Refused(_)) => Ok(()),
///         answer => answer.map(drop),
///     }
/// }
/// ```
pub trait Transfer: Sealed {
    /// The buffer: in memory that the controller can be given by its address, so neither on the
    /// stack nor in a module.
    type Buffer<'a>;

    /// The address and the length of the buffer; null and 0 without one.
    fn parts(buffer: Self::Buffer<'_>) -> (*mut c_void, u32);
}

/// Nothing is transferred, or all there is fits in the command and its completion.
#[derive(Clone, Copy)]
pub struct NoData;

/// The controller writes up to `N` bytes.
#[derive(Clone, Copy)]
pub struct Reads<const N: usize>;

/// The controller reads up to `N` bytes.
#[derive(Clone, Copy)]
pub struct Writes<const N: usize>;

impl Sealed for NoData {}
impl<const N: usize> Sealed for Reads<N> {}
impl<const N: usize> Sealed for Writes<N> {}

impl Transfer for NoData {
    type Buffer<'a> = ();

    fn parts(_buffer: ()) -> (*mut c_void, u32) {
        (core::ptr::null_mut(), 0)
    }
}

/// Whether a buffer of `bytes` bytes can be transferred: not none, and dwords.
const fn is_length(bytes: usize) -> bool {
    bytes > 0 && bytes % 4 == 0 && bytes <= u32::MAX as usize
}

impl<const N: usize> Transfer for Reads<N> {
    type Buffer<'a> = &'a mut KBox<[u8; N]>;

    fn parts(buffer: &mut KBox<[u8; N]>) -> (*mut c_void, u32) {
        const { assert!(is_length(N)) };
        (core::ptr::from_mut(&mut **buffer).cast(), N as u32)
    }
}

impl<const N: usize> Transfer for Writes<N> {
    type Buffer<'a> = &'a KBox<[u8; N]>;

    fn parts(buffer: &KBox<[u8; N]>) -> (*mut c_void, u32) {
        const { assert!(is_length(N)) };
        (core::ptr::from_ref(&**buffer).cast_mut().cast(), N as u32)
    }
}

/// The opcode of an admin command; see [`Moves`].
pub struct Opcode<const OPCODE: u8>;

/// A Feature Identifier; see [`Moves`].
pub struct Feature<const FID: u8>;

/// An [`Opcode`] whose commands transfer `D`, whatever else they say; or a [`Feature`] of which Get
/// Features transfers `D`.
///
/// This is what the specification has, not what a caller believes. What is missing here is added
/// with the section of the specification that says how much is transferred.
///
/// # Examples
///
/// ```
/// # use kernel_ext::nvme::{AdminCommand, Feature, Moves, NoData};
/// /// Gets a feature whose value is a dword.
/// fn get<const FID: u8>() -> AdminCommand<NoData>
/// where
///     Feature<FID>: Moves<NoData>,
/// {
///     AdminCommand::feature::<FID>()
/// }
/// ```
pub trait Moves<D: Transfer>: Sealed {}

macro_rules! opcodes {
    ($($opcode:literal: $data:ty,)*) => {
        $(
            impl Sealed for Opcode<$opcode> {}
            impl Moves<$data> for Opcode<$opcode> {}
        )*
    };
}

opcodes! {
    // Delete and Create I/O Submission Queue (sections 5.2.4 and 5.2.2).
    0x00: NoData,
    0x01: NoData,
    // Delete and Create I/O Completion Queue (sections 5.2.3 and 5.2.1).
    0x04: NoData,
    0x05: NoData,
    // Identify (section 5.1.13).
    0x06: Reads<4096>,
    // Abort (section 5.1.1).
    0x08: NoData,
    // Set Features (section 5.1.25), of which the controller reads data alone.
    0x09: NoData,
    // Namespace Attachment (section 5.1.20).
    0x15: Writes<4096>,
    // Virtualization Management (section 5.2.6).
    0x1c: NoData,
    // Doorbell Buffer Config (section 5.2.5).
    0x7c: NoData,
}

macro_rules! dword_features {
    ($($fid:literal)*) => {
        $(
            impl Sealed for Feature<$fid> {}
            impl Moves<NoData> for Feature<$fid> {}
        )*
    };
}

// Arbitration, Power Management, Temperature Threshold, Volatile Write Cache, Number of Queues,
// both kinds of interrupt features, and Asynchronous Event Configuration (section 5.1.25).
dword_features!(0x01 0x02 0x04 0x06 0x07 0x08 0x09 0x0b);

/// An admin command that transfers `D`: [`NoData`], [`Reads`] or [`Writes`].
///
/// The controller is trusted to do what the command says. So is who gives it the address of memory
/// for longer than the command lasts ([`AdminCommand::with_addresses`]), or has it read such an
/// address in another dword: that is as if the address was written to a register.
///
/// # Examples
///
/// ```
/// # use kernel_ext::nvme::{AdminCommand, NoData, Reads};
/// /// Identify for the structure that `cns` names: 4096 bytes, as each of them has.
/// fn identify(nsid: u32, cns: u8) -> AdminCommand<Reads<4096>> {
///     AdminCommand::new::<0x06>(cns.into()).with_nsid(nsid)
/// }
///
/// /// The SMART log, 512 bytes.
/// fn smart() -> AdminCommand<Reads<512>> {
///     AdminCommand::log_page(0x02)
/// }
///
/// /// Deletes a submission queue.
/// fn delete_sq(qid: u16) -> AdminCommand<NoData> {
///     AdminCommand::new::<0x00>(qid.into())
/// }
///
/// assert_eq!(identify(1, 0).as_command().opcode(), 0x06);
/// assert_eq!(smart().as_command().dword(10), 127 << 16 | 0x02);
/// assert_eq!(delete_sq(3).as_command().dword(10), 3);
/// ```
#[derive(Clone, Copy)]
pub struct AdminCommand<D: Transfer> {
    command: Command,
    transfer: PhantomData<D>,
}

impl<D: Transfer> AdminCommand<D> {
    /// The opcode of Get Log Page (section 5.1.12).
    const GET_LOG_PAGE: u8 = 0x02;
    /// The opcode of Get Features (section 5.1.11).
    const GET_FEATURES: u8 = 0x0a;

    const fn from_command(command: Command) -> Self {
        Self {
            command,
            transfer: PhantomData,
        }
    }

    /// A command with this opcode and `dword10`, and all else zero.
    pub const fn new<const OPCODE: u8>(dword10: u32) -> Self
    where
        Opcode<OPCODE>: Moves<D>,
    {
        Self::from_command(Command::new(OPCODE).with_dword(10, dword10))
    }

    /// With `nsid` as Namespace Identifier (dword 1).
    pub const fn with_nsid(self, nsid: u32) -> Self {
        Self::from_command(self.command.with_nsid(nsid))
    }

    /// The command as it goes into a queue, without data pointer.
    pub const fn as_command(&self) -> &Command {
        &self.command
    }

    pub(super) fn into_command(self) -> Command {
        self.command
    }
}

impl AdminCommand<NoData> {
    /// Gets the value of a feature, in dword 0 of the completion (section 5.1.11).
    pub const fn feature<const FID: u8>() -> Self
    where
        Feature<FID>: Moves<NoData>,
    {
        Self::from_command(Command::new(Self::GET_FEATURES).with_dword(10, FID as u32))
    }

    /// With `value` as dword `INDEX` (11 to 15).
    pub const fn with_dword<const INDEX: usize>(self, value: u32) -> Self {
        const { assert!(INDEX > 10 && INDEX < 16) };
        Self::from_command(self.command.with_dword(INDEX, value))
    }

    /// With the addresses of memory that the controller is to use from now on as PRP entries 1 and
    /// 2: a queue, or doorbells. The caller keeps the memory until the controller is told otherwise.
    pub fn with_addresses(mut self, prp1: u64, prp2: u64) -> Self {
        self.command.set_prps(prp1, prp2);
        self
    }
}

impl<const N: usize> AdminCommand<Reads<N>> {
    /// Reads the first `N` bytes of log page `lid` (section 5.1.12), a number of dwords.
    pub const fn log_page(lid: u8) -> Self {
        const { assert!(is_length(N)) };
        let dwords = (N / 4 - 1) as u32;
        Self::from_command(
            Command::new(Self::GET_LOG_PAGE)
                .with_dword(10, (dwords & 0xffff) << 16 | lid as u32)
                .with_dword(11, dwords >> 16),
        )
    }
}

#[kunit_tests(kernel_ext_nvme_buffer)]
mod tests {
    use super::*;

    /// Opcode, NSID, dwords 10 and 11.
    fn parts<D: Transfer>(command: AdminCommand<D>) -> (u8, u32, u32, u32) {
        let command = command.as_command();
        let dword = |index| command.dword(index);
        (command.opcode(), dword(1), dword(10), dword(11))
    }

    #[test]
    fn fields_are_where_the_specification_has_them() {
        let identify = AdminCommand::new::<0x06>(0x0102_0304).with_nsid(5);
        assert_eq!(parts(identify), (0x06, 5, 0x0102_0304, 0));
        let set = AdminCommand::new::<0x09>(2).with_dword::<11>(7);
        assert_eq!(parts(set), (0x09, 0, 2, 7));
        let get = AdminCommand::feature::<2>();
        assert_eq!(parts(get), (0x0a, 0, 2, 0));
        let buffers = AdminCommand::new::<0x7c>(0).with_addresses(1 << 32 | 2, 3 << 32 | 4);
        let dwords = [6, 7, 8, 9].map(|index| buffers.as_command().dword(index));
        assert_eq!(dwords, [2, 1, 4, 3]);
    }

    #[test]
    fn a_log_page_is_as_long_as_its_buffer() {
        // NUMD is 0's based.
        let shortest: AdminCommand<Reads<4>> = AdminCommand::log_page(1);
        assert_eq!(parts(shortest), (0x02, 0, 1, 0));
        let page: AdminCommand<Reads<4096>> = AdminCommand::log_page(0xff);
        assert_eq!(parts(page), (0x02, 0, 0x03ff_00ff, 0));
        let long: AdminCommand<Reads<0x4_0004>> = AdminCommand::log_page(2);
        assert_eq!(parts(long), (0x02, 0, 2, 1));
    }

    #[test]
    fn parts_are_those_of_the_buffer() -> Result {
        let mut buffer = KBox::<[u8; 512]>::zeroed(GFP_KERNEL)?;
        let address = core::ptr::from_mut(&mut *buffer).cast();
        assert!(Writes::parts(&buffer) == (address, 512));
        assert!(Reads::parts(&mut buffer) == (address, 512));
        assert!(NoData::parts(()) == (core::ptr::null_mut(), 0));
        Ok(())
    }
}
