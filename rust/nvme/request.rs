// SPDX-License-Identifier: GPL-2.0

//! A request on its way through the transport: new, prepared, started, in flight.

#[cfg(NVME_RS_FAULTS)]
use super::FaultData;
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
        Mapping,
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
        Atomic,
        Relaxed, //
    }, //
};

/// What follows a `struct request` of transport `T` in memory.
///
/// `nvme` is first, as nvme-core expects it there.
#[repr(C)]
pub(super) struct Pdu<T: Transport> {
    nvme: bindings::nvme_request,
    command: Command,
    mapping: Mapping,
    metadata: Mapping,
    /// Whether an Abort command was sent for the command.
    aborted: Atomic<bool>,
    data: T::RequestData,
}

impl<T: Transport> Pdu<T> {
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

    /// The command, as it was built last.
    #[inline]
    pub(super) fn command(&self) -> Command {
        self.command
    }

    /// Makes the PDU of a request that the tag set has just allocated.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`], nobody uses the request yet, and `ctrl` is the tag set's controller.
    pub(super) unsafe fn init(rq: *mut bindings::request, ctrl: *mut bindings::nvme_ctrl) {
        // SAFETY: By the contract of this function.
        unsafe {
            let pdu = Self::of(rq);
            pdu.write(Self {
                nvme: bindings::nvme_request {
                    cmd: (&raw mut (*pdu).command).cast(),
                    ctrl,
                    ..Default::default()
                },
                command: Command::new(0),
                mapping: Mapping::default(),
                metadata: Mapping::default(),
                aborted: Atomic::new(false),
                data: T::RequestData::default(),
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

    /// Gives back the data and metadata of a request that the device is done with.
    ///
    /// # Safety
    ///
    /// As for [`Pdu::of`]; the caller owns the request: it is completed, or never was started.
    #[inline]
    pub(super) unsafe fn release(rq: *mut bindings::request) {
        // SAFETY: By the contract of this function; the hardware context of a request that was
        // queued is set, and its data is a `T::Queue` by `init_hctx`.
        unsafe {
            let has_metadata = has_metadata(rq);
            if (*rq).nr_phys_segments == 0 && !has_metadata {
                return;
            }
            let pdu = &mut *Self::of(rq);
            let queue = &*(*(*rq).mq_hctx).driver_data.cast::<T::Queue>();
            T::release(queue, &mut pdu.data);
            let ctrl = Controller::<T>::from_raw(pdu.nvme.ctrl);
            pdu.mapping.unmap(rq, ctrl.dma_device(), ctrl.segments());
            if has_metadata {
                pdu.metadata.unmap(rq, ctrl.dma_device(), ctrl.segments());
            }
            #[cfg(NVME_RS_FAULTS)]
            T::inject(queue, &pdu.command, &mut FaultData::new(rq));
        }
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

/// A request that the block layer hands to the transport.
///
/// # Invariants
///
/// `rq` is valid, of a tag set of `ctrl`, not started, and owned by this value.
pub struct Request<'a, T: Transport> {
    rq: *mut bindings::request,
    ctrl: &'a Controller<T>,
}

impl<'a, T: Transport> Request<'a, T> {
    /// # Safety
    ///
    /// The type invariants hold.
    #[inline]
    pub(super) unsafe fn new(rq: *mut bindings::request, ctrl: &'a Controller<T>) -> Self {
        // INVARIANT: By the contract of this function.
        Self { rq, ctrl }
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

    /// Answers for a request that is not ready: it comes back later, takes another path, or fails.
    pub fn fail_not_ready(self) -> Result<(), Status> {
        // SAFETY: By the type invariants.
        let raw = unsafe { bindings::nvme_fail_nonready_command(self.ctrl.as_raw(), self.rq) };
        Status::from_raw(raw).map_or(Ok(()), Err)
    }

    /// Has nvme-core build the command.
    #[inline]
    pub fn setup(self) -> Result<Prepared<'a, T>, Status> {
        // SAFETY: By the type invariants; `queuedata` is the namespace, or null for the admin
        // queue, by nvme-core.
        let raw = unsafe { bindings::nvme_setup_cmd((*(*self.rq).q).queuedata.cast(), self.rq) };
        if let Some(status) = Status::from_raw(raw) {
            return Err(status);
        }
        // SAFETY: By the type invariants nobody else uses the PDU, except that a late timeout
        // handler uses this flag, which is atomic.
        unsafe { (*Pdu::<T>::of(self.rq)).aborted.store(false, Relaxed) };
        // INVARIANT: `nvme_setup_cmd` has built the command.
        Ok(Prepared {
            rq: self.rq,
            ctrl: self.ctrl,
            _t: PhantomData,
        })
    }
}

/// A request with its command built. If it is dropped, all is undone.
///
/// # Invariants
///
/// As for [`Request`], and the command is built.
pub struct Prepared<'a, T: Transport> {
    rq: *mut bindings::request,
    ctrl: &'a Controller<T>,
    _t: PhantomData<&'a mut T::RequestData>,
}

impl<'a, T: Transport> Prepared<'a, T> {
    #[inline]
    fn pdu(&mut self) -> &mut Pdu<T> {
        // SAFETY: By the type invariants nobody else uses the PDU.
        unsafe { &mut *Pdu::<T>::of(self.rq) }
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
        &mut self.pdu().data
    }

    /// Maps the data for DMA if it is one segment of the host's memory, which most is. `None` if it
    /// is not: [`Prepared::map_data`] takes any.
    ///
    /// `RESOURCE` if there is no address for it; `IOERR` if it is mapped already.
    #[inline]
    pub fn map_single(&mut self) -> Result<Option<Segment>, Status> {
        let (rq, dev) = (self.rq, self.ctrl.dma_device());
        // SAFETY: By the type invariants. The device is bound while requests are queued. Without
        // data there is no segment.
        unsafe { self.pdu().mapping.map_single(Payload::Data, rq, dev) }
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
        let (rq, ctrl) = (self.rq, self.ctrl);
        let Pdu { mapping, data, .. } = self.pdu();
        // SAFETY: By the type invariants and the check. The device is bound while requests are
        // queued.
        unsafe {
            mapping.map(
                Payload::Data,
                rq,
                ctrl.dma_device(),
                ctrl.segments(),
                |segments| f(data, segments),
            )
        }
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
        let (rq, ctrl) = (self.rq, self.ctrl);
        let Pdu { metadata, data, .. } = self.pdu();
        // SAFETY: As in `map_data`.
        unsafe {
            metadata.map(
                Payload::Metadata,
                rq,
                ctrl.dma_device(),
                ctrl.segments(),
                |segments| f(data, segments),
            )
        }
    }

    /// The command, for the transport to complete.
    #[inline]
    pub fn command_mut(&mut self) -> &mut Command {
        &mut self.pdu().command
    }

    /// Starts the request's clock. From here on the request completes by its completion queue
    /// entry, by its timeout, or by being cancelled.
    #[inline]
    pub fn start(self) -> Started<'a, T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariants.
        unsafe { bindings::ext_nvme_start_request(this.rq) };
        // INVARIANT: It has just been started, and `Prepared` was its owner.
        Started {
            rq: this.rq,
            _t: PhantomData,
        }
    }
}

impl<T: Transport> Drop for Prepared<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; the request was never started.
        unsafe {
            Pdu::<T>::release(self.rq);
            bindings::nvme_cleanup_cmd(self.rq);
        }
    }
}

/// A request that waits to be completed: its command is to be put in the submission queue.
///
/// # Invariants
///
/// `rq` is valid, of a tag set of a `Controller<T>`, started, and not sent. So nobody completes it
/// but who cancels it, which waits until the block layer's call that handed it over has ended; the
/// value does not live longer.
#[must_use = "a command that is not submitted times out"]
pub struct Started<'a, T: Transport> {
    rq: *mut bindings::request,
    _t: PhantomData<&'a Controller<T>>,
}

impl<T: Transport> Started<'_, T> {
    /// The command.
    #[inline]
    pub fn into_command(self) -> Command {
        // SAFETY: By the type invariants.
        unsafe { (*Pdu::<T>::of(self.rq)).command() }
    }

    /// Whether this is `rq`.
    #[inline]
    pub(super) fn is(&self, rq: *mut bindings::request) -> bool {
        core::ptr::eq(self.rq, rq)
    }
}

/// A started request whose time is up.
///
/// # Invariants
///
/// `rq` is valid, of a tag set of a `Controller<T>`, and its tag is not reused for another request
/// while this lives; it may be completed at any time, and sent again.
pub struct InFlight<'a, T: Transport> {
    rq: *mut bindings::request,
    command_id: CommandId,
    opcode: u8,
    _t: PhantomData<&'a Controller<T>>,
}

impl<T: Transport> InFlight<'_, T> {
    /// # Safety
    ///
    /// The type invariants hold.
    pub(super) unsafe fn new(rq: *mut bindings::request) -> Self {
        // SAFETY: By the contract of this function; a command begins with its opcode. If the
        // request is being sent again, these may be of either time, but all are plain numbers.
        let (tag, genctr, opcode) = unsafe {
            (
                (&raw const (*rq).tag).read_volatile(),
                (&raw const (*Pdu::<T>::nvme_request(rq)).genctr).read_volatile(),
                (&raw const (*Pdu::<T>::of(rq)).command)
                    .cast::<u8>()
                    .read_volatile(),
            )
        };
        // INVARIANT: By the contract of this function.
        Self {
            rq,
            command_id: CommandId::new(tag.unsigned_abs() as u16, genctr),
            opcode,
            _t: PhantomData,
        }
    }

    /// The command identifier, as it was when the time was up.
    pub fn command_id(&self) -> CommandId {
        self.command_id
    }

    /// The command's opcode.
    pub fn opcode(&self) -> u8 {
        self.opcode
    }

    /// Whether the request is still not completed.
    pub fn is_in_flight(&self) -> bool {
        // SAFETY: By the type invariant.
        let state = unsafe { (&raw const (*self.rq).state).read_volatile() };
        state == bindings::mq_rq_state_MQ_RQ_IN_FLIGHT
    }

    /// Whether an Abort was sent for the command.
    pub fn is_aborted(&self) -> bool {
        // SAFETY: By the type invariant; the flag is atomic.
        unsafe { (*Pdu::<T>::of(self.rq)).aborted.load(Relaxed) }
    }

    /// Notes that an Abort is sent for the command.
    pub fn set_aborted(&self) {
        // SAFETY: By the type invariant; the flag is atomic.
        unsafe { (*Pdu::<T>::of(self.rq)).aborted.store(true, Relaxed) }
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
