// SPDX-License-Identifier: GPL-2.0

//! A controller, shared by nvme-core and its transport (`struct nvme_ctrl`).

/// Reads a field of a controller's `struct nvme_ctrl` that nvme-core may write meanwhile, as C's
/// `READ_ONCE()` does. The kernel crate's `Atomic` has no `u8` and `u16`, and its loads are calls of
/// a function unless the kernel inlines C in Rust.
macro_rules! read_once {
    ($ctrl:expr, $field:ident) => {{
        let ctrl: *const $crate::bindings::nvme_ctrl = $ctrl.as_raw();
        // SAFETY: The structure is initialised by `new` and lives as long as the controller;
        // nvme-core writes the field as one word.
        unsafe { (&raw const (*ctrl).$field).read_volatile() }
    }};
}

mod quiesce;
mod run;
mod setup;
mod withhold;

use super::{
    tag_table::TagTable,
    IoQueues,
    Quirks,
    Transport, //
};
use crate::{
    bindings,
    block::mq::Mapper,
    layout, //
};
use core::{
    cell::UnsafeCell,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    device,
    error::from_err_ptr,
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        rcu,
        Mutex,
        SpinLock, //
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

    /// Whether the controller is being reset.
    pub fn is_resetting(self) -> bool {
        matches!(self, Self::Resetting | Self::Connecting)
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
    /// Segments of metadata, if the controller takes SGLs for it; else one.
    pub max_metadata_segments: u16,
}

/// What a controller wants as Host Memory Buffer, as Identify Controller gives it; sizes are in
/// units of 4 KiB.
#[derive(Clone, Copy, Debug)]
pub struct HostMemory {
    /// Preferred Size; 0 if it wants none.
    pub hmpre: u32,
    /// Minimum Size.
    pub hmmin: u32,
    /// Minimum Descriptor Entry Size; 0 if any will do.
    pub hmminds: u32,
    /// Maximum Descriptors Entries; 0 for no limit.
    pub hmmaxd: u16,
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
    limits: Limits,
    mapper: Mapper,
    pub(super) tags: TagTable,
    /// Whether nvme-core may be told of events. Looked at in RCU read-side sections.
    takes_events: Atomic<bool>,
    /// Held while nvme-core uses what is made and sends commands: unmaking begins before or after.
    /// Taken before `made`, which the timeouts of these commands need.
    #[pin]
    using: Mutex<()>,
    /// What of nvme-core is set up. Never taken while a request is waited for.
    #[pin]
    made: Mutex<Made>,
    /// Held while the I/O queues are quiesced, or let go.
    #[pin]
    quiescing: Mutex<()>,
    /// What the I/O tag set's queues are for; written by `replace_io_queues`.
    #[pin]
    pub(super) io_queues: SpinLock<IoQueues>,
    #[pin]
    data: T,
}

/// Whether something is there that is made once. Changes with `using` locked, but when it is made.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    NotYet,
    Made,
    /// It is unmade, or is about to be.
    Unmade,
}

/// What must be unmade.
#[derive(Default)]
struct Made {
    /// The character device.
    cdev: Stage,
    /// The admin tag set. It holds a reference to the controller until it is gone: its tags are part
    /// of that, and nvme-core works with the admin queue.
    admin_set: Stage,
    /// Whether there is an I/O tag set. The namespaces use it, and hold references to the
    /// controller.
    io_set: bool,
    /// Whether the controller does not become live now.
    stays_down: bool,
    /// What [`Controller::io_queue_kinds`] returns.
    io_kinds: u32,
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

    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::nvme_ctrl {
        self.ctrl.get()
    }

    #[inline]
    pub(super) fn dma_device(&self) -> *mut bindings::device {
        layout::device::<device::Normal>(&self.parent)
    }

    /// What maps requests for the device.
    #[inline]
    pub(super) fn mapper(&self) -> &Mapper {
        &self.mapper
    }

    /// The admin queue, if there is one. It refuses requests when its tag set has gone.
    pub(super) fn admin_queue(&self) -> Option<NonNullQueue> {
        // Set once, when the admin tag set is made, and put when the controller is freed. If it
        // cannot be made, its errno is there for a moment.
        let queue = read_once!(self, admin_q);
        from_err_ptr(queue).ok().filter(|queue| !queue.is_null())
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

    /// Where the controller is not as the specification has it.
    #[inline]
    pub fn quirks(&self) -> Quirks {
        // nvme-core adds to it when the controller is identified.
        Quirks::from_raw(read_once!(self, quirks))
    }

    /// Optional Admin Command Support as Identify Controller gives it; 0 before `init_finish`.
    pub fn oacs(&self) -> u16 {
        read_once!(self, oacs)
    }

    /// What the controller wants as Host Memory Buffer; nothing before `init_finish`.
    pub fn host_memory(&self) -> HostMemory {
        HostMemory {
            hmpre: read_once!(self, hmpre),
            hmmin: read_once!(self, hmmin),
            hmminds: read_once!(self, hmminds),
            hmmaxd: read_once!(self, hmmaxd),
        }
    }

    /// How many power states the controller has (NPSS, Identify Controller); 1 before
    /// `init_finish`.
    pub fn power_states(&self) -> u32 {
        let npss = read_once!(self, npss);
        u32::from(npss).wrapping_add(1)
    }

    /// Model Number and Firmware Revision (Identify Controller), padded with spaces. `None` before
    /// `init_finish`.
    pub fn product(&self) -> Option<([u8; 40], [u8; 8])> {
        // Set when the controller is identified first, and put when it is freed.
        let subsys = read_once!(self, subsys);
        // SAFETY: The subsystem lives as long as the controller. The revision may change when other
        // firmware is activated; then what is read is some of both.
        (!subsys.is_null()).then(|| unsafe {
            (
                (&raw const (*subsys).model)
                    .cast::<[u8; 40]>()
                    .read_volatile(),
                (&raw const (*subsys).firmware_rev)
                    .cast::<[u8; 8]>()
                    .read_volatile(),
            )
        })
    }

    /// SGL Support as Identify Controller gives it; 0 before `init_finish`.
    #[inline]
    fn sgls(&self) -> u32 {
        read_once!(self, sgls)
    }

    /// Whether I/O commands may have SGLs for their data.
    #[inline]
    pub fn has_sgls(&self) -> bool {
        let any = bindings::NVME_CTRL_SGLS_BYTE_ALIGNED | bindings::NVME_CTRL_SGLS_DWORD_ALIGNED;
        self.sgls() & any != 0
    }

    /// Whether I/O commands with an SGL for their data may have one for their metadata.
    #[inline]
    pub fn has_metadata_sgls(&self) -> bool {
        self.has_sgls() && self.sgls() & bindings::NVME_CTRL_SGLS_MSDS != 0
    }

    /// How many segments of metadata a request may have.
    pub(super) fn max_metadata_segments(&self) -> u16 {
        // SAFETY: The device is valid.
        let merges = unsafe { bindings::dma_get_merge_boundary(self.dma_device()) } != 0;
        // Where an IOMMU could merge segments, the block layer tries that with those of metadata,
        // too, though they do not end at the IOMMU's pages.
        if self.has_metadata_sgls() && !merges {
            self.limits.max_metadata_segments
        } else {
            1
        }
    }

    /// The state. It may change at any time.
    #[inline]
    pub fn state(&self) -> State {
        State::from_raw(read_once!(self, state))
    }

    /// Changes the state, if that is allowed from the present one. Returns whether it was.
    ///
    /// Only a controller with an admin queue becomes `Live`: then user space sends commands to it.
    /// That change sleeps.
    pub fn change_state(&self, state: State) -> bool {
        let _made = if state == State::Live {
            let made = self.made.lock();
            if made.admin_set == Stage::NotYet || made.stays_down {
                return false;
            }
            Some(made)
        } else {
            None
        };
        // SAFETY: Initialised by `new`.
        unsafe { bindings::nvme_change_ctrl_state(self.as_raw(), state.to_raw()) }
    }

    /// The time limit of admin commands, in jiffies.
    pub fn admin_timeout(&self) -> kernel::time::Jiffies {
        let timeout = read_once!(self, admin_timeout);
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

    /// Tells nvme-core of a completed Asynchronous Event Request. Any context. Does nothing unless
    /// there is an admin tag set: whoever removes it waits for the work that an event queues.
    pub fn complete_async_event(&self, cqe: &super::Completion) {
        // Until the event is handled, `stop_events` waits.
        let _rcu = rcu::read_lock();
        if !self.takes_events.load(Acquire) {
            return;
        }
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
}

/// A request queue of the controller's.
pub(super) type NonNullQueue = *mut bindings::request_queue;
