// SPDX-License-Identifier: GPL-2.0

//! The state of a controller ([`Nvme`]), its hardware while the device is bound ([`Hardware`]), and its
//! part among the functions of its device ([`Role`]).
//!
//! This module has the state and its locks, whose order is in `Documentation/design.rst`; `control`,
//! `sriov` and `transport` use them. Methods that take a lock may sleep, as those for queue pairs do; the
//! others may be called in any context.

use crate::{
    bar::Bar0,
    data::lists::ListPools,
    faults,
    memory::{
        cmb::Cmb,
        hmb::{
            self,
            Hmb, //
        }, //
    },
    parameters,
    queue::{
        Queue,
        ShadowDoorbells, //
    },
};
use kernel::{
    device::Bound,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Mutex,
        MutexGuard, //
    }, //
};
use kernel_ext::{
    nvme::Controller,
    pci::{
        irq::Vectors,
        BoundGuard,
        BoundLock,
        DeviceEnabled,
        DeviceExt, //
    },
    workqueue::Spawner, //
};

/// What exists only while the device is bound. The `BoundLock` protects it; whoever starts or stops the
/// controller holds that.
///
/// Fields are dropped in this order: the interrupt vectors before the device that sends interrupts.
#[derive(Default)]
pub(crate) struct Hardware {
    /// The interrupt vectors.
    pub(crate) vectors: Option<Arc<Vectors>>,
    /// The enabled device: `Some` from the start of the controller until it is stopped.
    pub(crate) enabled: Option<DeviceEnabled>,
    /// Whether a stop has frozen the I/O queues; the next start unfreezes them when it is over.
    pub(crate) frozen: bool,
    /// The power state to return to when the system wakes up; `None` if the controller has not been
    /// put in a low power state for the system's sleep.
    pub(crate) awake: Option<u32>,
    /// The pools of PRP and SGL lists, created at the first start.
    pub(crate) lists: Option<Arc<ListPools>>,
    /// The doorbells in memory, created at the first start if the controller supports them.
    pub(crate) shadow_doorbells: Option<Arc<ShadowDoorbells>>,
    /// The Host Memory Buffer, which exists as long as the controller may access it.
    pub(crate) hmb: Option<hmb::Memory>,
}

/// Why nobody resets or starts a controller, though its state says so, and who will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Idle {
    /// Not idle: the reset work or the probe is working on the controller, or is about to.
    No = 0,
    /// A VF's controller waits until its PF has brought it online; then the family resets it.
    ForPrimary = 1,
    /// A callback of the PCI core has stopped the controller, and another callback starts it.
    ForCallback = 2,
}

/// The part of a controller among those of its device: what the others have to know of it, and what it
/// has to ask them. `sriov` implements it for the controllers of physical functions and of VFs. The
/// provided methods do nothing.
///
/// Methods are called where they may sleep, except where they say that any context will do. The
/// `BoundLock` is not held but for those that return a `bool`.
pub(crate) trait Role: Send + Sync {
    /// Called when the controller has been created: makes it known to the others.
    fn join(&self, _ctrl: &Controller<Nvme>) -> Result {
        Ok(())
    }

    /// Called when the probe of the controller's function has succeeded.
    fn is_bound(&self, _ctrl: &Controller<Nvme>) {}

    /// Undoes [`Role::join`]: the controller has been torn down.
    fn leave(&self, _ctrl: &Controller<Nvme>) {}

    /// Called before the controller is started. `EAGAIN` if it has to wait for its PF, `ENODEV` if its
    /// PF will not bring it online.
    fn admit(&self, _ctrl: &Controller<Nvme>) -> Result {
        Ok(())
    }

    /// Called when the controller has been identified, before nvme-core looks for its namespaces. Sends
    /// admin commands; fails if the controller does not answer.
    fn forget_changes(&self, _ctrl: &Controller<Nvme>) -> Result {
        Ok(())
    }

    /// Called when the controller is live. A PF waits until its VFs have been provisioned.
    fn is_up(&self) {}

    /// Called before the controller is stopped.
    fn goes_down(&self) {}

    /// Called when the controller has been stopped.
    fn is_down(&self) {}

    /// Called when the controller has been given up.
    fn is_gone(&self) {}

    /// Called when it becomes known that only a callback of the PCI core starts the controller, which
    /// is stopped (`true`), and when that callback has come (`false`).
    fn hold(&self, _held: bool) {}

    /// Returns whether the controller is a PF's that was live and has not been stopped since.
    fn is_served(&self) -> bool {
        false
    }

    /// Returns whether the controller is a VF's whose PF has gone down since [`Role::admit`] and may
    /// come back: what fails now fails for that reason.
    fn is_cut_off(&self) -> bool {
        false
    }

    /// Returns whether the controller is a VF's that has to wait for its PF.
    fn has_to_wait(&self) -> bool {
        false
    }

    /// Waits until the controller of a VF no longer has to wait for its PF, and the reset after that is
    /// over. The caller may hold device locks.
    fn wait_for_primary(&self, _ctrl: &Controller<Nvme>) {}

    /// Called when a user's admin command with this opcode has completed. Any context.
    fn command_completed(&self, _opcode: u8) {}
}

/// The role of a controller that has no VFs, and is no VF of a PF that this driver drives.
pub(crate) struct Single;

impl Role for Single {}

/// The transport's data of one controller.
#[pin_data]
pub(crate) struct Nvme {
    pub(crate) pdev: ARef<pci::Device>,
    pub(crate) bound: Arc<BoundLock<Hardware>>,
    pub(crate) bar: Arc<Bar0>,
    /// The Controller Memory Buffer, if there is one.
    pub(crate) cmb: Option<Cmb>,
    /// The Host Memory Buffer.
    #[pin]
    pub(crate) hmb: Hmb,
    /// The module parameter as it was when the controller was created. It must not change: the block
    /// layer's tags are allocated once, and each needs an entry.
    pub(crate) io_queue_depth: u32,
    /// The largest number of I/O queues.
    pub(crate) max_io_queues: u16,
    /// The queue pairs by id. Filled in order, and emptied when the controller is torn down, as they
    /// hold references to the controller.
    #[pin]
    pub(crate) queues: Mutex<KVec<Arc<Queue<Self>>>>,
    /// The controller's part among those of its device.
    pub(crate) role: KBox<dyn Role>,
    /// Spawns what takes the device lock.
    pub(crate) spawner: Spawner,
    /// An [`Idle`].
    idle: Atomic<u32>,
    /// Held while the controller is torn down.
    #[pin]
    ending: Mutex<()>,
    /// Whether the teardown has begun. Written with `ending` locked.
    ended: Atomic<bool>,
    /// Whether the reset work is to do nothing any more.
    over: Atomic<bool>,
}

impl Nvme {
    /// Creates the data of a controller, without queues. `cmb` is its memory buffer, if it has one; the
    /// other parameters are those of the fields.
    pub(crate) fn new<'a>(
        pdev: &'a pci::Device<Bound>,
        bound: Arc<BoundLock<Hardware>>,
        bar: Arc<Bar0>,
        cmb: Option<Cmb>,
        max_io_queues: u16,
        role: KBox<dyn Role>,
        spawner: &'a Spawner,
    ) -> impl PinInit<Self, Error> + 'a {
        let function: &pci::Device = pdev;
        try_pin_init!(Self {
            pdev: function.into(),
            bound,
            bar,
            cmb,
            hmb <- Hmb::new(),
            io_queue_depth: parameters::io_queue_depth.value(),
            max_io_queues,
            queues <- new_mutex!(KVec::new(), "Nvme::queues"),
            role,
            spawner: spawner.clone(),
            idle: Atomic::new(Idle::No as u32),
            ending <- new_mutex!((), "Nvme::ending"),
            ended: Atomic::new(false),
            over: Atomic::new(false),
        })
    }

    /// Locks the hardware of `ctrl`, unless somebody else holds the lock (`EBUSY`) or the controller is
    /// stopped (`ENODEV`). Does not wait: whoever stops the controller holds the lock, and waits for the
    /// caller's commands.
    pub(crate) fn lock_running(ctrl: &Controller<Self>) -> Result<BoundGuard<'_, Hardware>> {
        let hw = ctrl.data().bound.try_lock()?;
        if hw.enabled.is_none() || ctrl.state().is_terminal() {
            return Err(ENODEV);
        }
        Ok(hw)
    }

    /// Notes that the controller is idle. Whoever takes the note starts the controller.
    pub(crate) fn set_idle(&self, idle: Idle) {
        self.idle.store(idle as u32, Relaxed);
    }

    /// Takes the note that the controller is idle for this reason. Returns `false` if it is not.
    pub(crate) fn take_idle(&self, idle: Idle) -> bool {
        self.idle
            .cmpxchg(idle as u32, Idle::No as u32, Full)
            .is_ok()
    }

    /// Takes the note that the controller is idle, for any reason. Returns `false` if it is not.
    pub(crate) fn take_any_idle(&self) -> bool {
        self.idle.xchg(Idle::No as u32, Full) != Idle::No as u32
    }

    /// Waits for a teardown that another thread has begun. If there was none, begins it, and returns the
    /// lock to hold until it is over.
    pub(crate) fn begin_teardown(&self) -> Option<MutexGuard<'_, ()>> {
        let ending = self.ending.lock();
        let was_ended = self.ended.xchg(true, Full);
        (!was_ended).then_some(ending)
    }

    /// Keeps a teardown from beginning, as long as the lock is held that is returned. If one has begun,
    /// waits until it is over, and returns `None`.
    pub(crate) fn hold_off_teardown(&self) -> Option<MutexGuard<'_, ()>> {
        let ending = self.ending.lock();
        (!self.is_ended()).then_some(ending)
    }

    /// Makes the reset work do nothing from now on.
    pub(crate) fn set_over(&self) {
        self.over.store(true, Relaxed);
    }

    /// Returns whether the reset work is to do nothing any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Returns whether the teardown of the controller has begun.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Returns whether the function is on the bus and answers.
    pub(crate) fn is_present(&self) -> bool {
        !faults::is_gone() && self.pdev.is_present()
    }

    /// Returns queue pair `qid`, if it exists.
    pub(crate) fn queue_pair(&self, qid: u16) -> Option<Arc<Queue<Self>>> {
        self.queues.lock().get(usize::from(qid)).cloned()
    }

    /// Returns the queue pairs by id, the admin queue first. The lock is held to look up each, not
    /// between them, and no memory is allocated: a stop of the controller needs both.
    pub(crate) fn queue_pairs(&self) -> impl DoubleEndedIterator<Item = Arc<Queue<Self>>> + '_ {
        let count = u16::try_from(self.queues.lock().len()).unwrap_or(u16::MAX);
        (0..count).filter_map(|qid| self.queue_pair(qid))
    }
}
