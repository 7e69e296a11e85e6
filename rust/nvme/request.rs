// SPDX-License-Identifier: GPL-2.0

//! A request on its way through the transport: new, prepared, started, in flight.

mod held;

use self::held::Held;
use super::{
    Command,
    CommandId,
    Controller,
    State,
    Transport, //
};
use crate::{
    bindings,
    block::mq::{
        Payload,
        Segment,
        Segments,
        Status, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};

/// What follows a `struct request` of transport `T` in memory.
///
/// `nvme` is first, as nvme-core expects it there. A timeout handler that comes late looks at `nvme`
/// and `sent` while somebody else owns the request. So there is no reference to all of it, but to
/// the other fields alone.
///
/// # Invariants
///
/// Unless it `holds` something, nothing has to be unmapped, and the transport has put nothing into its
/// data. Most requests hold nothing: one look is all that is done for them when they are complete.
#[repr(C)]
pub(super) struct Pdu<T: Transport> {
    nvme: bindings::nvme_request,
    sent: Sent,
    holds: bool,
    command: Command,
    held: Held<T>,
}

/// What was sent for a request last: nothing yet, or a command with this opcode and identifier, and
/// perhaps an Abort of it.
///
/// Bits 7:0 and 31:16 are those of the command's dword 0, which has flags in between.
struct Sent(Atomic<u32>);

impl Sent {
    /// The command is in the submission queue.
    const YES: u32 = 1 << 8;
    /// An Abort command was sent for it.
    const ABORTED: u32 = 1 << 9;
    const OPCODE: u32 = 0xff;
    const ID_SHIFT: u32 = 16;

    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// The request has a new command, which is not sent.
    #[inline]
    fn clear(&self) {
        // SAFETY: An aligned word, which others access atomically. This is a relaxed store, as C's
        // `WRITE_ONCE()` is; that of `Atomic` is a call unless the kernel inlines C in Rust.
        unsafe { self.0.as_ptr().write_volatile(0) };
    }

    /// What there is to note of `command` when it is sent.
    #[inline]
    fn word(command: &Command) -> u32 {
        let flags = Self::OPCODE | 0xffff << Self::ID_SHIFT;
        command.dword(0) & flags | Self::YES
    }

    /// The command of this `word` is in the submission queue; the caller does not use the request any
    /// more, and has no reference to any of it.
    #[inline]
    fn set(&self, word: u32) {
        self.0.store(word, Release);
    }

    /// Whether a command with this identifier was sent.
    #[inline]
    fn is(&self, id: CommandId) -> bool {
        let sent = self.0.load(Acquire);
        sent & Self::YES != 0 && (sent >> Self::ID_SHIFT) as u16 == id.into_raw()
    }
}

impl<T: Transport> Pdu<T> {
    /// blk-mq puts the PDU right behind the request.
    const ALIGNMENT: () = assert!(
        align_of::<Self>() <= align_of::<bindings::request>(),
        "RequestData needs a larger alignment than the block layer gives"
    );

    /// The PDU of `rq`.
    ///
    /// # Safety
    ///
    /// `rq` is valid and of a tag set of a `Controller<T>`.
    #[inline]
    pub(super) unsafe fn of(rq: *mut bindings::request) -> *mut Self {
        // SAFETY: The tag set reserves room for the PDU right behind each request.
        unsafe { rq.add(1) }.cast()
    }

    /// nvme-core's part of the PDU of `rq`.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`].
    #[inline]
    pub(super) unsafe fn nvme_request(rq: *mut bindings::request) -> *mut bindings::nvme_request {
        // SAFETY: By the contract of this function.
        unsafe { &raw mut (*Self::of(rq)).nvme }
    }

    /// The controller of `rq`.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`], and [`Pdu::init`] was called.
    #[inline]
    pub(super) unsafe fn controller<'a>(rq: *mut bindings::request) -> &'a Controller<T> {
        // SAFETY: By the contract of this function; `init` stored the controller, which outlives
        // its tag sets.
        unsafe { Controller::from_raw((*Self::nvme_request(rq)).ctrl) }
    }

    /// Has `put` put the command of a request in the submission queue. After that, its completion is
    /// believed; the device knows of the command when the doorbell is rung, later than that.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`]. The caller owns the request, which is started, and gives it up.
    #[inline]
    pub(super) unsafe fn send(rq: *mut bindings::request, put: impl FnOnce(&Command)) {
        // SAFETY: By the contract of this function, nobody writes the command while it is looked at: no
        // completion is believed before `sent` is set, which is atomic.
        unsafe {
            let pdu = Self::of(rq);
            put(&(*pdu).command);
            let word = Sent::word(&(*pdu).command);
            (*pdu).sent.set(word);
        }
    }

    /// Whether command `id` was sent for a request.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`], and [`Pdu::init`] was called.
    #[inline]
    pub(super) unsafe fn has_sent(rq: *mut bindings::request, id: CommandId) -> bool {
        // SAFETY: By the contract of this function; `sent` is atomic.
        unsafe { (*Self::of(rq)).sent.is(id) }
    }

    /// The opcode of a request's command.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`]; the command was sent, and is not complete.
    pub(super) unsafe fn opcode(rq: *mut bindings::request) -> u8 {
        // SAFETY: By the contract of this function, nobody writes the command.
        unsafe { (*Self::of(rq)).command.opcode() }
    }

    /// Makes the PDU of a request that the tag set has just allocated.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`], nobody uses the request yet, and `ctrl` is the tag set's controller.
    pub(super) unsafe fn init(rq: *mut bindings::request, ctrl: *mut bindings::nvme_ctrl) {
        let () = Self::ALIGNMENT;
        // SAFETY: By the contract of this function.
        unsafe {
            let pdu = Self::of(rq);
            pdu.write(Self {
                nvme: bindings::nvme_request {
                    cmd: (&raw mut (*pdu).command).cast(),
                    ctrl,
                    ..Default::default()
                },
                sent: Sent::new(),
                // INVARIANT: There is nothing yet.
                holds: false,
                command: Command::new(0),
                held: Held::new(),
            });
        }
    }

    /// Destroys the PDU of a request that is about to be freed.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`]; [`Pdu::init`] was called, and nobody uses the request any more.
    pub(super) unsafe fn exit(rq: *mut bindings::request) {
        // SAFETY: By the contract of this function.
        unsafe { Self::of(rq).drop_in_place() };
    }

    /// The queue that `rq` was queued in.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`], and the request was queued.
    #[inline]
    pub(super) unsafe fn queue<'a>(rq: *mut bindings::request) -> &'a T::Queue {
        // SAFETY: By the contract of this function, there is a hardware context; its data is a
        // `T::Queue` by `init_hctx`, and stays as long as the context.
        unsafe { &*(*(*rq).mq_hctx).driver_data.cast::<T::Queue>() }
    }
}

/// Whether `rq` has metadata of its own; else the controller makes it, or there is none.
///
/// # Safety
///
/// `rq` is valid.
#[inline]
unsafe fn has_metadata(rq: *mut bindings::request) -> bool {
    // SAFETY: By the contract of this function.
    unsafe { (*rq).cmd_flags & (1 << bindings::req_flag_bits___REQ_INTEGRITY) != 0 }
}

/// Makes `'rq` stand for one request: it is neither shortened nor extended, and each call of a
/// transport has its own.
type Brand<'rq> = PhantomData<fn(&'rq ()) -> &'rq ()>;

/// The request is the transport's, or is complete: it must not be answered in another way.
///
/// # Invariants
///
/// `'rq` is that of such a request.
#[must_use = "it is the answer to the block layer"]
pub struct Accepted<'rq> {
    _rq: Brand<'rq>,
}

/// The request stays the block layer's, which tries again later, or fails it.
///
/// # Invariants
///
/// `'rq` is that of a request that is not started, or was failed by nvme-core with this status.
#[must_use = "it is the answer to the block layer"]
pub struct Refused<'rq> {
    status: Status,
    _rq: Brand<'rq>,
}

impl Refused<'_> {
    pub(super) fn status(&self) -> Status {
        self.status
    }
}

/// A request that the block layer hands to the transport. `'rq` stands for this one: the answer to
/// the block layer comes from it, and from no other.
///
/// # Invariants
///
/// `rq` is valid, of a tag set of `ctrl`, not started, and owned by this value; `'rq` is its own.
pub struct Request<'rq, T: Transport> {
    rq: *mut bindings::request,
    ctrl: &'rq Controller<T>,
    _rq: Brand<'rq>,
}

impl<'rq, T: Transport> Request<'rq, T> {
    /// # Safety
    ///
    /// The type invariants hold.
    #[inline]
    pub(super) unsafe fn new(rq: *mut bindings::request, ctrl: &'rq Controller<T>) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            rq,
            ctrl,
            _rq: PhantomData,
        }
    }

    /// Whether the controller's state admits the request.
    #[inline]
    pub fn is_ready(&self) -> bool {
        // This state admits all requests: nvme-core need not be asked.
        if self.ctrl.state() == State::Live {
            return true;
        }
        // SAFETY: By the type invariants.
        unsafe { bindings::ext_nvme_check_ready(self.ctrl.as_raw(), self.rq) }
    }

    /// Leaves the request to the block layer, as it cannot be sent.
    #[inline]
    pub fn refuse(self, status: Status) -> Refused<'rq> {
        // INVARIANT: The request is not started, by the type invariants.
        Refused {
            status,
            _rq: PhantomData,
        }
    }

    /// Answers for a request that is not ready: it comes back later, takes another path, or fails.
    pub fn fail_not_ready(self) -> Result<Accepted<'rq>, Refused<'rq>> {
        // SAFETY: By the type invariants.
        let raw = unsafe { bindings::nvme_fail_nonready_command(self.ctrl.as_raw(), self.rq) };
        match Status::from_raw(raw) {
            Some(status) => Err(self.refuse(status)),
            // INVARIANT: nvme-core has completed it.
            None => Ok(Accepted { _rq: PhantomData }),
        }
    }

    /// Has nvme-core build the command.
    #[inline]
    pub fn setup(self) -> Result<Prepared<'rq, T>, Refused<'rq>> {
        // SAFETY: By the type invariants; `queuedata` is the namespace, or null for the admin
        // queue, by nvme-core.
        let raw = unsafe { bindings::nvme_setup_cmd((*(*self.rq).q).queuedata.cast(), self.rq) };
        if let Some(status) = Status::from_raw(raw) {
            return Err(self.refuse(status));
        }
        // SAFETY: By the type invariants; `sent` is atomic.
        unsafe { (*Pdu::<T>::of(self.rq)).sent.clear() };
        // INVARIANT: `nvme_setup_cmd` has built the command.
        Ok(Prepared {
            rq: self.rq,
            ctrl: self.ctrl,
            _rq: PhantomData,
        })
    }
}

/// A request with its command built. If it is dropped, all is undone.
///
/// # Invariants
///
/// As for [`Request`], and the command is built.
pub struct Prepared<'rq, T: Transport> {
    rq: *mut bindings::request,
    ctrl: &'rq Controller<T>,
    _rq: Brand<'rq>,
}

impl<'rq, T: Transport> Prepared<'rq, T> {
    /// Leaves the request to the block layer, as it cannot be sent. All is undone.
    #[inline]
    pub fn refuse(self, status: Status) -> Refused<'rq> {
        // INVARIANT: The request is not started, by the type invariants.
        Refused {
            status,
            _rq: PhantomData,
        }
    }

    /// The controller that the command is for.
    #[inline]
    pub fn controller(&self) -> &'rq Controller<T> {
        self.ctrl
    }

    /// Whether the command transfers data.
    #[inline]
    pub fn has_data(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { (*self.rq).nr_phys_segments != 0 }
    }

    /// How many bytes of data the command transfers.
    #[inline]
    pub fn data_len(&self) -> u32 {
        // SAFETY: By the type invariants; the flag tells which of the union's fields is set.
        unsafe {
            let special = 1 << bindings::rqf_flags___RQF_SPECIAL_PAYLOAD;
            if (*self.rq).rq_flags & special != 0 {
                crate::layout::special_vec(self.rq).bv_len
            } else {
                (*self.rq).__data_len
            }
        }
    }

    /// Whether the data has a gap before or behind a segment, in view of `page` bytes, a power of
    /// two: the first segment may begin anywhere in a page, and the last one end, but not others.
    #[inline]
    pub fn has_gaps(&self, page: u32) -> bool {
        // SAFETY: By the type invariants. The number is that of the lowest bit that is set in an
        // address or a length within the data, counted from 1; 0 if there is none.
        let bit = unsafe { (*self.rq).phys_gap_bit };
        bit != 0 && u32::from(bit) <= page.trailing_zeros()
    }

    /// Whether the command comes from user space as it is, not from the block layer.
    #[inline]
    pub fn is_user_command(&self) -> bool {
        // SAFETY: By the type invariants.
        let flags = unsafe { (*Pdu::<T>::nvme_request(self.rq)).flags };
        u32::from(flags) & bindings::NVME_REQ_USERCMD != 0
    }

    /// How many segments of metadata there are.
    #[inline]
    pub fn metadata_segments(&self) -> u16 {
        // SAFETY: By the type invariants.
        unsafe { (*self.rq).nr_integrity_segments }
    }

    /// Whether the command transfers metadata from, or to, memory of the host.
    #[inline]
    pub fn has_metadata(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { has_metadata(self.rq) }
    }

    /// The transport's data of the request. What is put in goes to [`Transport::release`] when the
    /// request is complete, or `self` is dropped.
    #[inline]
    pub fn request_data_mut(&mut self) -> &mut T::RequestData {
        // SAFETY: By the type invariants nobody else uses this field.
        unsafe { Pdu::<T>::data(self.rq) }
    }

    /// Maps the data for DMA if it is one segment of the host's memory, which most is. `None` if it
    /// is not: [`Prepared::map_data`] takes any.
    ///
    /// `RESOURCE` if there is no address for it; `IOERR` if it is mapped already.
    #[inline]
    pub fn map_single(&mut self) -> Result<Option<Segment>, Status> {
        // SAFETY: By the type invariants nobody else uses this field. The device is bound while
        // requests are queued. Without data there is no segment.
        unsafe { Pdu::map_single(self.rq, self.ctrl) }
    }

    /// Maps the data for DMA and hands its segments to `f`, with the transport's data of the
    /// request. On failure nothing stays mapped, and what `f` put into the request's data goes to
    /// [`Transport::release`] when `self` is dropped. `IOERR` if there is no data, or if it is
    /// mapped already.
    #[inline(never)]
    pub fn map_data<R>(
        &mut self,
        f: impl FnOnce(&mut T::RequestData, &mut Segments<'_>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        if !self.has_data() {
            return Err(Status::IOERR);
        }
        // SAFETY: By the type invariants nobody else uses this field; and by the check. The device is
        // bound while requests are queued.
        unsafe { Pdu::map(Payload::Data, self.rq, self.ctrl, f) }
    }

    /// As [`Prepared::map_data`], for the metadata.
    #[inline(never)]
    pub fn map_metadata<R>(
        &mut self,
        f: impl FnOnce(&mut T::RequestData, &mut Segments<'_>) -> Result<R, Status>,
    ) -> Result<R, Status> {
        if !self.has_metadata() {
            return Err(Status::IOERR);
        }
        // SAFETY: As in `map_data`.
        unsafe { Pdu::map(Payload::Metadata, self.rq, self.ctrl, f) }
    }

    /// The command, for the transport to complete.
    #[inline]
    pub fn command_mut(&mut self) -> &mut Command {
        // SAFETY: By the type invariants nobody else uses this field.
        unsafe { &mut (*Pdu::<T>::of(self.rq)).command }
    }

    /// Starts the request's clock. From here on the request completes by its completion queue
    /// entry, by its timeout, or by being cancelled.
    #[inline]
    pub fn start(self) -> Started<'rq, T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariants.
        unsafe { bindings::ext_nvme_start_request(this.rq) };
        // INVARIANT: It has just been started, and `Prepared` was its owner.
        Started {
            rq: this.rq,
            _rq: PhantomData,
            _t: PhantomData,
        }
    }
}

impl<T: Transport> Drop for Prepared<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants; the request was never started.
        unsafe { undo::<T>(self.rq) };
    }
}

/// Undoes what was done for a request. By itself, and with the request alone: so a [`Prepared`] that is
/// not dropped stays in registers.
///
/// # Safety
///
/// `rq` is prepared and not started, and the caller owns it.
#[cold]
#[inline(never)]
unsafe fn undo<T: Transport>(rq: *mut bindings::request) {
    // SAFETY: By the contract of this function.
    unsafe {
        Pdu::<T>::release(rq);
        bindings::nvme_cleanup_cmd(rq);
    }
}

/// A request that waits to be completed: its command is to be put in the submission queue.
///
/// # Invariants
///
/// `rq` is valid, of a tag set of a `Controller<T>`, started, and not sent; `'rq` is its own. So
/// nobody completes it, not even for a device that makes a completion up, but who cancels it, which
/// waits until the block layer's call that handed it over has ended; the value does not live longer.
#[must_use = "a command that is not submitted times out"]
pub struct Started<'rq, T: Transport> {
    rq: *mut bindings::request,
    _rq: Brand<'rq>,
    _t: PhantomData<&'rq Controller<T>>,
}

impl<'rq, T: Transport> Started<'rq, T> {
    /// Has `put` put the command in the submission queue. Returns the answer to the block layer. The
    /// doorbell is not rung for the command before `put` has returned: a completion that comes earlier
    /// is taken for one that the device has made up.
    #[inline]
    pub fn send(self, put: impl FnOnce(&Command)) -> Accepted<'rq> {
        // SAFETY: By the type invariants.
        unsafe { Pdu::<T>::send(self.rq, put) };
        // INVARIANT: It completes by its completion queue entry, its timeout, or by being cancelled.
        Accepted { _rq: PhantomData }
    }
}

/// A request whose time is up, and whose command was sent.
///
/// # Invariants
///
/// `rq` is valid, of a tag set of a `Controller<T>`, and its tag is not reused for another request
/// while this lives; it may be completed at any time, and sent again.
pub struct InFlight<'a, T: Transport> {
    rq: *mut bindings::request,
    /// What was sent when the time was up.
    sent: u32,
    _t: PhantomData<&'a Controller<T>>,
}

impl<T: Transport> InFlight<'_, T> {
    /// `None` if nothing was sent for the request: it was completed meanwhile, and is being sent
    /// again.
    ///
    /// # Safety
    ///
    /// The type invariants hold.
    pub(super) unsafe fn new(rq: *mut bindings::request) -> Option<Self> {
        // SAFETY: By the contract of this function; `sent` is atomic.
        let sent = unsafe { (*Pdu::<T>::of(rq)).sent.0.load(Relaxed) };
        // INVARIANT: By the contract of this function.
        (sent & Sent::YES != 0).then_some(Self {
            rq,
            sent,
            _t: PhantomData,
        })
    }

    /// The command identifier, as it was when the time was up.
    pub fn command_id(&self) -> CommandId {
        CommandId::from_raw((self.sent >> Sent::ID_SHIFT) as u16)
    }

    /// The command's opcode.
    pub fn opcode(&self) -> u8 {
        (self.sent & Sent::OPCODE) as u8
    }

    /// Whether the request is still not completed.
    pub fn is_in_flight(&self) -> bool {
        // SAFETY: By the type invariant.
        let state = unsafe { (&raw const (*self.rq).state).read_volatile() };
        state == bindings::mq_rq_state_MQ_RQ_IN_FLIGHT
    }

    /// Whether an Abort was sent for the command.
    pub fn is_aborted(&self) -> bool {
        self.sent & Sent::ABORTED != 0
    }

    /// Notes that an Abort is sent for the command, unless another one was sent meanwhile.
    pub fn set_aborted(&self) {
        // SAFETY: By the type invariant; `sent` is atomic.
        let sent = unsafe { &(*Pdu::<T>::of(self.rq)).sent.0 };
        let _ = sent.cmpxchg(self.sent, self.sent | Sent::ABORTED, Relaxed);
    }

    /// Has the submitter told `EINTR` when the request is cancelled.
    pub fn set_cancelled(&self) {
        // SAFETY: By the type invariant; only the timeout handler, which runs once at a time for
        // a request, and cancelling write the flags of a started request.
        unsafe {
            let flags = &raw mut (*Pdu::<T>::nvme_request(self.rq)).flags;
            flags.write_volatile(flags.read_volatile() | bindings::NVME_REQ_CANCELLED as u8);
        }
    }
}

#[kunit_tests(kernel_ext_nvme_request)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_is_completed() {
        let (first, second) = (CommandId::new(0, 0), CommandId::new(0, 1));
        let sent = Sent::new();
        // A device can guess the identifier before the command is sent.
        assert!(!sent.is(first));
        sent.set(Sent::word(&Command::new(2).with_command_id(first)));
        assert!(sent.is(first) && !sent.is(second));
        sent.clear();
        assert!(!sent.is(first));
        sent.set(Sent::word(&Command::new(2).with_command_id(second)));
        assert!(sent.is(second) && !sent.is(first));
    }

    #[test]
    fn flags_of_a_command_are_not_taken_for_its_state() {
        let id = CommandId::new(0xabc, 3);
        let sent = Sent::new();
        // All of dword 0 but opcode and identifier: Fused Operation, reserved bits, PSDT.
        let command = Command::new(0x81).with_dword(0, 0xff81).with_command_id(id);
        sent.set(Sent::word(&command));
        let word = sent.0.load(Relaxed);
        assert_eq!(word & Sent::OPCODE, 0x81);
        assert_eq!(word & (Sent::YES | Sent::ABORTED), Sent::YES);
        assert!(sent.is(id));
    }
}
