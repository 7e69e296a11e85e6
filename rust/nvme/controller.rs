// SPDX-License-Identifier: GPL-2.0

//! A controller, shared by nvme-core and its transport (`struct nvme_ctrl`).

use super::{
    ops,
    queue::Operations,
    request::Pdu,
    tags::TagTable,
    Transport, //
};
use crate::{
    bindings,
    block::mq::SegmentPool, //
};
use core::{
    cell::UnsafeCell,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    device,
    error::to_result,
    new_mutex,
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    types::Opaque, //
};

/// A controller's place in its life (`enum nvme_ctrl_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Being made.
    New,
    /// Ready for I/O.
    Live,
    /// A reset is wanted or under way; the controller is being stopped.
    Resetting,
    /// The controller is being started.
    Connecting,
    /// Being removed; what is queued may still complete.
    Deleting,
    /// Being removed; no I/O is possible.
    DeletingNoIo,
    /// Beyond help.
    Dead,
}

impl State {
    fn from_raw(raw: bindings::nvme_ctrl_state) -> Self {
        match raw {
            bindings::nvme_ctrl_state_NVME_CTRL_NEW => Self::New,
            bindings::nvme_ctrl_state_NVME_CTRL_LIVE => Self::Live,
            bindings::nvme_ctrl_state_NVME_CTRL_RESETTING => Self::Resetting,
            bindings::nvme_ctrl_state_NVME_CTRL_CONNECTING => Self::Connecting,
            bindings::nvme_ctrl_state_NVME_CTRL_DELETING => Self::Deleting,
            bindings::nvme_ctrl_state_NVME_CTRL_DELETING_NOIO => Self::DeletingNoIo,
            _ => Self::Dead,
        }
    }

    fn to_raw(self) -> bindings::nvme_ctrl_state {
        match self {
            Self::New => bindings::nvme_ctrl_state_NVME_CTRL_NEW,
            Self::Live => bindings::nvme_ctrl_state_NVME_CTRL_LIVE,
            Self::Resetting => bindings::nvme_ctrl_state_NVME_CTRL_RESETTING,
            Self::Connecting => bindings::nvme_ctrl_state_NVME_CTRL_CONNECTING,
            Self::Deleting => bindings::nvme_ctrl_state_NVME_CTRL_DELETING,
            Self::DeletingNoIo => bindings::nvme_ctrl_state_NVME_CTRL_DELETING_NOIO,
            Self::Dead => bindings::nvme_ctrl_state_NVME_CTRL_DEAD,
        }
    }

    /// Whether the controller can never be live again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Deleting | Self::DeletingNoIo | Self::Dead)
    }
}

/// The largest request that a transport takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of data.
    pub max_bytes: u32,
    /// Segments of data.
    pub max_segments: u32,
}

/// A controller with the data of its transport.
///
/// Reference counted through its device in `/sys/class/nvme`: open character devices and
/// namespaces hold it.
#[pin_data]
#[repr(C)]
pub struct Controller<T: Transport> {
    #[pin]
    ctrl: Opaque<bindings::nvme_ctrl>,
    #[pin]
    admin_set: Opaque<bindings::blk_mq_tag_set>,
    #[pin]
    io_set: Opaque<bindings::blk_mq_tag_set>,
    /// nvme-core's table of calls, kept here as it is different for each transport.
    ops: UnsafeCell<bindings::nvme_ctrl_ops>,
    parent: ARef<device::Device>,
    segments: Arc<SegmentPool>,
    pub(super) tags: TagTable,
    /// What of nvme-core is set up. Never taken while a request is waited for, but for teardown.
    #[pin]
    made: Mutex<Made>,
    #[pin]
    data: T,
}

/// What must be unmade.
#[derive(Default)]
struct Made {
    added: bool,
    admin_set: bool,
    io_set: bool,
}

// SAFETY: `nvme_ctrl` and the tag sets are made to be shared, `T` is `Send` and `Sync`.
unsafe impl<T: Transport> Send for Controller<T> {}
// SAFETY: As above; `ops` is not written after `new`.
unsafe impl<T: Transport> Sync for Controller<T> {}

// SAFETY: The count is that of the controller's device; every instance is made by `new`, which
// initialises the device, and freed by nvme-core's `free_ctrl`.
unsafe impl<T: Transport> AlwaysRefCounted for Controller<T> {
    fn inc_ref(&self) {
        // SAFETY: The device is initialised by `new`.
        unsafe { bindings::get_device((*self.as_raw()).device) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: As above; the caller owns a count.
        unsafe { bindings::put_device((*obj.as_ref().as_raw()).device) };
    }
}

impl<T: Transport> Controller<T> {
    /// Makes a controller below `parent`, not visible to anybody yet, with room for `queues`
    /// queues including the admin queue.
    pub fn new(
        parent: &device::Device<device::Bound>,
        queues: u16,
        limits: Limits,
        data: impl PinInit<T, Error>,
    ) -> Result<ARef<Self>> {
        let parent: &device::Device = parent;
        let this = KBox::pin_init(
            try_pin_init!(Self {
                ctrl: Opaque::zeroed(),
                admin_set: Opaque::zeroed(),
                io_set: Opaque::zeroed(),
                ops: UnsafeCell::new(ops::vtable::<T>()),
                parent: parent.into(),
                segments: SegmentPool::new()?,
                tags: TagTable::new(queues)?,
                made <- new_mutex!(Made::default(), "Controller::made"),
                data <- data,
            }),
            GFP_KERNEL,
        )?;

        let ctrl = this.as_raw();
        // CAST: `Device` is transparent over `struct device`.
        let dev: *mut bindings::device = core::ptr::from_ref(parent).cast_mut().cast();
        // SAFETY: `ctrl` is zeroed, as nvme-core expects it; the parent is valid and held by
        // `parent`; `ops` lives as long as the controller.
        unsafe {
            bindings::ext_init_work(&raw mut (*ctrl).reset_work, Some(reset_callback::<T>));
            to_result(bindings::nvme_init_ctrl(ctrl, dev, this.ops.get(), 0))?;
            let max_bytes = limits
                .max_bytes
                .min(u32::try_from(bindings::dma_opt_mapping_size(dev)).unwrap_or(u32::MAX));
            (*ctrl).max_hw_sectors = max_bytes >> bindings::SECTOR_SHIFT;
            (*ctrl).max_segments = limits.max_segments;
            (*ctrl).max_integrity_segments = 1;
        }

        // From here on nvme-core owns the memory, and calls `free` with the last reference.
        // SAFETY: `nvme_init_ctrl` has made one reference, which passes to the caller; the value
        // stays pinned.
        Ok(unsafe {
            let this = KBox::into_raw(Pin::into_inner_unchecked(this));
            ARef::from_raw(NonNull::new_unchecked(this))
        })
    }

    /// The controller around `ctrl`.
    ///
    /// # Safety
    ///
    /// `ctrl` is of a `Controller<T>` that lives during `'a`.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(ctrl: *mut bindings::nvme_ctrl) -> &'a Self {
        // SAFETY: By the contract of this function; `ctrl` is in field `ctrl`.
        unsafe { &*ctrl.byte_sub(offset_of!(Self, ctrl)).cast::<Self>() }
    }

    /// Frees what `new` made.
    ///
    /// # Safety
    ///
    /// nvme-core's last reference to `ctrl` is gone.
    pub(super) unsafe fn free(ctrl: *mut bindings::nvme_ctrl) {
        // SAFETY: By the contract of this function, nobody uses the controller any more, and
        // `new` gave its box to nvme-core.
        unsafe {
            let this = Self::from_raw(ctrl);
            this.remove_io_tag_set();
            drop(KBox::from_raw(core::ptr::from_ref(this).cast_mut()));
        }
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::nvme_ctrl {
        self.ctrl.get()
    }

    #[inline]
    pub(super) fn dma_device(&self) -> *mut bindings::device {
        // CAST: `Device` is transparent over `struct device`.
        core::ptr::from_ref::<device::Device>(&self.parent)
            .cast_mut()
            .cast()
    }

    #[inline]
    pub(super) fn segments(&self) -> &SegmentPool {
        &self.segments
    }

    /// The admin queue, if there is one.
    pub(super) fn admin_queue(&self) -> Option<NonNullQueue> {
        // SAFETY: nvme-core sets the pointer once, when the admin tag set is made, and puts the
        // queue when the controller is freed.
        let queue = unsafe { (&raw const (*self.as_raw()).admin_q).read_volatile() };
        (!queue.is_null()).then_some(queue)
    }

    /// The transport's data.
    #[inline]
    pub fn data(&self) -> &T {
        &self.data
    }

    /// The device that the controller is below.
    pub fn parent(&self) -> &device::Device {
        &self.parent
    }

    /// The controller's own device, `nvmeX`, to log with.
    pub fn device(&self) -> &device::Device {
        // SAFETY: Initialised by `new`, and part of the controller.
        unsafe { device::Device::from_raw((*self.as_raw()).device) }
    }

    /// The number in the controller's name.
    pub fn instance(&self) -> i32 {
        // SAFETY: Not written after `new`.
        unsafe { (*self.as_raw()).instance }
    }

    /// The controller id (CNTLID, base specification, section 3.1.2). 0 before `init_finish`.
    pub fn cntlid(&self) -> u16 {
        // SAFETY: Written when the controller is identified only.
        unsafe { (&raw const (*self.as_raw()).cntlid).read_volatile() }
    }

    /// Optional Admin Command Support as Identify Controller gives it; 0 before `init_finish`.
    pub fn oacs(&self) -> u16 {
        // SAFETY: As above.
        unsafe { (&raw const (*self.as_raw()).oacs).read_volatile() }
    }

    /// The state. It may change at any time.
    #[inline]
    pub fn state(&self) -> State {
        // SAFETY: Initialised by `new`; nvme-core writes it as one word.
        State::from_raw(unsafe { (&raw const (*self.as_raw()).state).read_volatile() })
    }

    /// Changes the state, if that is allowed from the present one. Returns whether it was.
    pub fn change_state(&self, state: State) -> bool {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_change_ctrl_state(self.as_raw(), state.to_raw()) }
    }

    /// The time limit of admin commands, in jiffies.
    pub fn admin_timeout(&self) -> kernel::time::Jiffies {
        // SAFETY: Initialised by `new`; written as one word.
        let timeout = unsafe { (&raw const (*self.as_raw()).admin_timeout).read_volatile() };
        timeout as kernel::time::Jiffies
    }

    /// Takes one of the Abort commands that the controller admits at a time (ACL, Identify
    /// Controller). `false` if all are under way.
    pub fn take_abort(&self) -> bool {
        let limit = self.abort_limit();
        if limit.fetch_sub(1, Full) > 0 {
            return true;
        }
        limit.add(1, Relaxed);
        false
    }

    /// Gives back what [`Controller::take_abort`] took.
    pub fn give_abort(&self) {
        self.abort_limit().add(1, Relaxed);
    }

    fn abort_limit(&self) -> &Atomic<i32> {
        // SAFETY: An `atomic_t` is an aligned `i32` that is only accessed atomically; it lives as
        // long as the controller.
        unsafe { Atomic::from_ptr((&raw mut (*self.as_raw()).abort_limit).cast::<i32>()) }
    }

    /// The command identifier of Asynchronous Event Requests; they are no block requests.
    pub const fn async_event_id() -> u16 {
        bindings::NVME_AQ_BLK_MQ_DEPTH as u16
    }

    /// How many entries the admin queue has.
    pub const fn admin_queue_depth() -> u16 {
        bindings::NVME_AQ_DEPTH as u16
    }

    /// Tells nvme-core of a completed Asynchronous Event Request.
    pub fn complete_async_event(&self, cqe: &super::Completion) {
        let mut result = bindings::nvme_completion_nvme_result::default();
        // SAFETY: The union overlays eight bytes.
        unsafe {
            core::ptr::from_mut(&mut result)
                .cast::<u64>()
                .write(cqe.result)
        };
        // SAFETY: Initialised by `new`; `result` is read during the call.
        unsafe { bindings::nvme_complete_async_event(self.as_raw(), cqe.status, &mut result) };
    }

    // --- Making and unmaking ---------------------------------------------------------------

    /// Makes `/dev/nvmeX`. Undone by [`Controller::uninit`].
    pub fn add(&self) -> Result {
        let mut made = self.made.lock();
        if made.added {
            return Err(EEXIST);
        }
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_add_ctrl(self.as_raw()) })?;
        made.added = true;
        Ok(())
    }

    /// Takes `/dev/nvmeX` away, if [`Controller::add`] made it.
    pub fn uninit(&self) {
        if core::mem::take(&mut self.made.lock().added) {
            // SAFETY: `add` succeeded, once.
            unsafe { bindings::nvme_uninit_ctrl(self.as_raw()) };
        }
    }

    /// Makes the admin queue's tags and request queue. `EEXIST` the second time.
    pub fn alloc_admin_tag_set(&self) -> Result {
        let mut made = self.made.lock();
        if made.admin_set || self.admin_queue().is_some() {
            return Err(EEXIST);
        }
        // SAFETY: Nobody uses the tag set yet; the operations are static, and the PDU is what
        // they take it for.
        to_result(unsafe {
            bindings::nvme_alloc_admin_tag_set(
                self.as_raw(),
                self.admin_set.get(),
                &Operations::<T, true>::VTABLE,
                size_of::<Pdu<T>>() as c_uint,
            )
        })?;
        made.admin_set = true;
        Ok(())
    }

    /// Fails what waits in the admin queue and takes its tags away.
    pub fn remove_admin_tag_set(&self) {
        if !core::mem::take(&mut self.made.lock().admin_set) {
            return;
        }
        self.tags.hide(0, 0);
        // SAFETY: The tag set was made, and `made` says so no more. No tag can be looked up.
        unsafe {
            bindings::nvme_unquiesce_admin_queue(self.as_raw());
            bindings::nvme_remove_admin_tag_set(self.as_raw());
            (*self.as_raw()).admin_tagset = core::ptr::null_mut();
        }
    }

    /// Makes the I/O queues' tags, for as many queues as [`Controller::set_queue_count`] said.
    pub fn alloc_io_tag_set(&self) -> Result {
        let mut made = self.made.lock();
        if made.io_set {
            return Err(EEXIST);
        }
        // SAFETY: As in `alloc_admin_tag_set`.
        to_result(unsafe {
            bindings::nvme_alloc_io_tag_set(
                self.as_raw(),
                self.io_set.get(),
                &Operations::<T, false>::VTABLE,
                1,
                size_of::<Pdu<T>>() as c_uint,
            )
        })?;
        made.io_set = true;
        Ok(())
    }

    /// Whether the I/O queues' tags are made.
    pub fn has_io_tag_set(&self) -> bool {
        self.made.lock().io_set
    }

    /// Takes the I/O queues' tags away. Only when no namespace is left: the last reference.
    fn remove_io_tag_set(&self) {
        if core::mem::take(&mut self.made.lock().io_set) {
            // SAFETY: The tag set was made; namespaces hold the controller, so none is left, and
            // so do the owners of `QueueTags`, so nobody looks a tag up.
            unsafe { bindings::nvme_remove_io_tag_set(self.as_raw()) };
        }
    }

    /// Adapts the I/O queues' tags to `queues` I/O queues. The queues must be frozen; sleeps.
    pub fn update_io_queues(&self, queues: u16) -> Result {
        if queues == 0 || usize::from(queues) >= self.tags.len() {
            return Err(EINVAL);
        }
        let made = self.made.lock();
        if !made.io_set {
            return Err(ENODEV);
        }
        // SAFETY: The tag set is made.
        if unsafe { (*self.io_set.get()).nr_hw_queues } == c_uint::from(queues) {
            return Ok(());
        }
        self.tags.hide(1, self.tags.len());
        // SAFETY: As above; no tag can be looked up, and `init_hctx` shows the new ones.
        unsafe { bindings::blk_mq_update_nr_hw_queues(self.io_set.get(), c_int::from(queues)) };
        drop(made);
        Ok(())
    }

    // --- Starting and stopping ---------------------------------------------------------------

    /// Enables the controller (CC.EN) and waits until it is ready, for at most CAP.TO.
    pub fn enable(&self) -> Result {
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_enable_ctrl(self.as_raw()) })
    }

    /// Shuts the controller down (CC.SHN), or just disables it (CC.EN), and waits for it.
    pub fn disable(&self, shutdown: bool) -> Result {
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_disable_ctrl(self.as_raw(), shutdown) })
    }

    /// The Controller Configuration register as it was last written.
    pub fn config(&self) -> u32 {
        // SAFETY: Initialised by `new`; written as one word.
        unsafe { (&raw const (*self.as_raw()).ctrl_config).read_volatile() }
    }

    /// Gives nvme-core the Controller Capabilities register, and the depth of the I/O queues.
    pub fn set_capabilities(&self, cap: u64, io_queue_depth: u16) {
        // SAFETY: Initialised by `new`; each is written as one word.
        unsafe {
            (&raw mut (*self.as_raw()).cap).write_volatile(cap);
            (&raw mut (*self.as_raw()).sqsize).write_volatile(io_queue_depth.saturating_sub(1));
        }
    }

    /// Tells nvme-core how many queues there are, the admin queue included.
    pub fn set_queue_count(&self, count: u16) {
        // SAFETY: Initialised by `new`; written as one word.
        unsafe {
            (&raw mut (*self.as_raw()).queue_count).write_volatile(u32::from(count));
        }
    }

    /// Asks the controller for `count` I/O queues; returns how many it grants (Set Features,
    /// Number of Queues, section 5.1.25.2.1). 0 if it refuses: it is usable for administration.
    pub fn request_io_queues(&self, count: u16) -> Result<u16> {
        let mut granted = c_int::from(count);
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_set_queue_count(self.as_raw(), &mut granted) })?;
        Ok(u16::try_from(granted)?.min(count))
    }

    /// Identifies the controller and configures its features. The admin queue must work.
    pub fn init_finish(&self, was_suspended: bool) -> Result {
        // SAFETY: Initialised by `new`. A positive result is an NVMe status.
        match unsafe { bindings::nvme_init_ctrl_finish(self.as_raw(), was_suspended) } {
            ret if ret > 0 => Err(EIO),
            ret => to_result(ret),
        }
    }

    /// Starts what nvme-core does with a live controller: keep alive, events, namespaces.
    pub fn start(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_start_ctrl(self.as_raw()) };
    }

    /// Stops what [`Controller::start`] started, but for namespaces.
    pub fn stop(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_stop_ctrl(self.as_raw()) };
    }

    /// Waits until a scan for namespaces that is under way is over.
    pub fn flush_scan(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::flush_work(&raw mut (*self.as_raw()).scan_work) };
    }

    /// Removes all namespaces; fails their I/O if the controller is dead.
    pub fn remove_namespaces(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_remove_namespaces(self.as_raw()) };
    }

    /// Marks the namespaces' disks dead: nothing new is queued to them.
    pub fn mark_namespaces_dead(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_mark_namespaces_dead(self.as_raw()) };
    }

    /// Has the controller reset by [`Transport::reset`] in a work item. `EBUSY` if its state does
    /// not allow it.
    pub fn schedule_reset(&self) -> Result {
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_reset_ctrl(self.as_raw()) })
    }

    /// As [`Controller::schedule_reset`], for a controller in state `Resetting` already. `ENODEV`
    /// if it is in another.
    pub fn schedule_reset_now(&self) -> Result {
        // SAFETY: Initialised by `new`.
        to_result(unsafe { bindings::nvme_try_sched_reset(self.as_raw()) })
    }

    /// Waits for a reset that is under way and takes its place: the controller is in state
    /// `Resetting` then. `false` if it is in a state that does not allow it.
    pub fn wait_reset(&self) -> bool {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_wait_reset(self.as_raw()) }
    }

    /// Waits until the reset work is idle. Not from [`Transport::reset`].
    pub fn flush_reset(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::flush_work(&raw mut (*self.as_raw()).reset_work) };
    }

    // --- Queues ------------------------------------------------------------------------------

    /// Lets nothing more through the I/O queues to the transport; waits for calls under way.
    pub fn quiesce_io(&self) {
        // SAFETY: Initialised by `new`; does nothing without I/O queues.
        unsafe { bindings::nvme_quiesce_io_queues(self.as_raw()) };
    }

    /// Undoes [`Controller::quiesce_io`].
    pub fn unquiesce_io(&self) {
        // SAFETY: As above.
        unsafe { bindings::nvme_unquiesce_io_queues(self.as_raw()) };
    }

    /// Lets nothing more through the admin queue to the transport; waits for calls under way.
    pub fn quiesce_admin(&self) {
        if self.admin_queue().is_some() {
            // SAFETY: There is an admin queue.
            unsafe { bindings::nvme_quiesce_admin_queue(self.as_raw()) };
        }
    }

    /// Undoes [`Controller::quiesce_admin`].
    pub fn unquiesce_admin(&self) {
        if self.admin_queue().is_some() {
            // SAFETY: There is an admin queue.
            unsafe { bindings::nvme_unquiesce_admin_queue(self.as_raw()) };
        }
    }

    /// Begins to freeze the I/O queues: nothing new enters them.
    pub fn start_freeze(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_start_freeze(self.as_raw()) };
    }

    /// Waits until nothing is left in the frozen I/O queues.
    pub fn wait_freeze(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_wait_freeze(self.as_raw()) };
    }

    /// As [`Controller::wait_freeze`], for at most the I/O time limit.
    pub fn wait_freeze_timeout(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_wait_freeze_timeout(self.as_raw()) };
    }

    /// Undoes [`Controller::start_freeze`].
    pub fn unfreeze(&self) {
        // SAFETY: Initialised by `new`; does nothing that was not frozen.
        unsafe { bindings::nvme_unfreeze(self.as_raw()) };
    }

    /// Waits for timeout handlers and the like that are under way in any queue.
    pub fn sync_queues(&self) {
        if self.admin_queue().is_some() {
            // SAFETY: There is an admin queue.
            unsafe { bindings::nvme_sync_queues(self.as_raw()) };
        }
    }

    /// Completes everything that is in flight as aborted by the host. The controller must be
    /// stopped, or gone: it may not touch the requests' memory any more.
    pub fn cancel_all(&self) {
        let _made = self.made.lock();
        let last = self.tags.len();
        self.tags.hide(0, last);
        // SAFETY: Initialised by `new`; the functions do nothing for tag sets that are not there,
        // and `made` keeps those that are. Nobody else completes requests, as none can be found.
        // The tag sets do not change, so what is shown is what was hidden.
        unsafe {
            bindings::nvme_cancel_tagset(self.as_raw());
            bindings::nvme_cancel_admin_tagset(self.as_raw());
            self.tags.show(0, last);
        }
    }
}

/// A request queue of the controller's.
pub(super) type NonNullQueue = *mut bindings::request_queue;

/// # Safety
///
/// Only called by the workqueue, with the `reset_work` of a `Controller<T>`.
unsafe extern "C" fn reset_callback<T: Transport>(work: *mut bindings::work_struct) {
    // SAFETY: By the contract of this function. nvme-core flushes the work before it frees the
    // controller.
    let ctrl = unsafe {
        let ctrl = work
            .byte_sub(offset_of!(bindings::nvme_ctrl, reset_work))
            .cast();
        Controller::<T>::from_raw(ctrl)
    };
    T::reset(ctrl);
}
