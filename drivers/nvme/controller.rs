// SPDX-License-Identifier: GPL-2.0

//! What the transport knows of a controller: its state, and what it consists of.
//!
//! State and who may have it when. What is done with it is in `control` and `transport`.

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
        Mutex, //
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
};

/// What exists only while the device is bound. All that starts or stops the controller holds its
/// lock.
///
/// Fields are dropped in this order: the interrupts, then the device that sends them.
#[derive(Default)]
pub(crate) struct Hardware {
    /// The interrupt vectors.
    pub(crate) vectors: Option<Arc<Vectors>>,
    /// `Some` from start to stop.
    pub(crate) enabled: Option<DeviceEnabled>,
    /// Whether the I/O queues are frozen since a stop, until the next start is over.
    pub(crate) frozen: bool,
    /// What the power state is to be again when the system wakes up; `None` if the controller is
    /// not in a power state of the system's sleep.
    pub(crate) awake: Option<u32>,
    /// The pools of PRP and SGL lists, made at the first start.
    pub(crate) lists: Option<Arc<ListPools>>,
    /// The doorbells in memory, made when the controller is first found to know them.
    pub(crate) shadow_doorbells: Option<Arc<ShadowDoorbells>>,
    /// The Host Memory Buffer, for as long as the controller may access it.
    pub(crate) hmb: Option<hmb::Memory>,
}

/// Why a controller that is being reset or started is not: whose task it is to go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Idle {
    /// It is, or is about to be: the reset work or the probe has it.
    No = 0,
    /// A VF's controller waits until its PF has brought it online: the family wakes it.
    ForPrimary = 1,
    /// A callback of the PCI core has stopped it, and another one starts it.
    ForCallback = 2,
}

/// What a controller is to others of its device, and what follows for its own life. `sriov` has the
/// roles of a physical function and of a VF; by itself, a method does nothing.
pub(crate) trait Role: Send + Sync {
    /// The controller has been made, and is to be known to the others.
    fn join(&self, _ctrl: &Controller<Nvme>) -> Result {
        Ok(())
    }

    /// The probe of the controller's function is over.
    fn is_bound(&self, _ctrl: &Controller<Nvme>) {}

    /// The controller ends: undoes [`Role::join`].
    fn leave(&self, _ctrl: &Controller<Nvme>) {}

    /// The controller is about to be started: asks whether it can be. `EAGAIN` if it has to wait for
    /// its PF, `ENODEV` if it will not be online.
    fn admit(&self, _ctrl: &Controller<Nvme>) -> Result {
        Ok(())
    }

    /// The controller has been identified, and nvme-core is about to look for its namespaces. Fails
    /// if it does not answer. Sends admin commands.
    fn forget_changes(&self, _ctrl: &Controller<Nvme>) -> Result {
        Ok(())
    }

    /// The controller is live. That of a PF waits until its VFs have what they had.
    fn is_up(&self) {}

    /// The controller is about to be stopped.
    fn goes_down(&self) {}

    /// The controller is stopped.
    fn is_down(&self) {}

    /// The controller is given up.
    fn is_gone(&self) {}

    /// The controller, which is stopped, is started again in a callback of the PCI core; or no more.
    fn hold(&self, _held: bool) {}

    /// Whether the controller is a PF's that was live, and has not been stopped since.
    fn is_served(&self) -> bool {
        false
    }

    /// Whether the controller is a VF's whose PF has gone down since it was admitted, and may come
    /// back: nothing that it does now means anything.
    fn is_cut_off(&self) -> bool {
        false
    }

    /// Whether the controller is a VF's that has to wait for its PF. Any context.
    fn has_to_wait(&self) -> bool {
        false
    }

    /// Waits until a VF's controller need not wait for its PF any more, and has been reset for it.
    /// The caller may hold device locks.
    fn wait_for_primary(&self, _ctrl: &Controller<Nvme>) {}

    /// A user's admin command with this opcode is complete. Any context.
    fn command_completed(&self, _opcode: u8) {}
}

/// The role of a controller without VFs that is none, or whose PF is not this driver's.
pub(crate) struct Single;

impl Role for Single {}

/// The transport's data of one controller.
///
/// Lock order: `bound`, then `queues`.
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
    /// The module parameter when the controller was made: the block layer's tags are made once,
    /// and each needs an entry.
    pub(crate) io_queue_depth: u32,
    /// How many I/O queues there can be at most.
    pub(crate) max_io_queues: u16,
    /// The queue pairs by id. Filled in order, and emptied when the device is unbound: they hold
    /// the controller.
    #[pin]
    pub(crate) queues: Mutex<KVec<Arc<Queue<Self>>>>,
    /// What the controller is to others of its device.
    pub(crate) role: KBox<dyn Role>,
    /// An [`Idle`].
    idle: Atomic<u32>,
    /// Whether the controller has ended; locked while it does.
    #[pin]
    pub(crate) ending: Mutex<()>,
    ended: Atomic<bool>,
    /// Whether nothing is to be reset any more.
    over: Atomic<bool>,
}

impl Nvme {
    /// The data of a controller that has no queues yet. `cmb` is its memory, if it has some; the rest
    /// is as the fields say.
    pub(crate) fn new<'a>(
        pdev: &'a pci::Device<Bound>,
        bound: Arc<BoundLock<Hardware>>,
        bar: Arc<Bar0>,
        cmb: Option<Cmb>,
        max_io_queues: u16,
        role: KBox<dyn Role>,
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
            idle: Atomic::new(Idle::No as u32),
            ending <- new_mutex!((), "Nvme::ending"),
            ended: Atomic::new(false),
            over: Atomic::new(false),
        })
    }

    /// The hardware of `ctrl`, unless it is being stopped: whoever stops it waits for commands that
    /// are ours. `EAGAIN` or `ENODEV` then.
    pub(crate) fn lock_running(ctrl: &Controller<Self>) -> Result<BoundGuard<'_, Hardware>> {
        let hw = ctrl.data().bound.try_lock()?;
        if hw.enabled.is_none() || ctrl.state().is_terminal() {
            return Err(ENODEV);
        }
        Ok(hw)
    }

    /// Notes that the controller is idle. Whoever takes that note goes on with it.
    pub(crate) fn set_idle(&self, idle: Idle) {
        self.idle.store(idle as u32, Relaxed);
    }

    /// Takes the note that the controller is idle for this reason. `false` if it is not.
    pub(crate) fn take_idle(&self, idle: Idle) -> bool {
        self.idle
            .cmpxchg(idle as u32, Idle::No as u32, Full)
            .is_ok()
    }

    /// Takes the note that the controller is idle, whyever.
    pub(crate) fn take_any_idle(&self) -> bool {
        self.idle.xchg(Idle::No as u32, Full) != Idle::No as u32
    }

    /// Notes that the controller has ended. Returns whether it had.
    pub(crate) fn set_ended(&self) -> bool {
        self.ended.xchg(true, Full)
    }

    /// Notes that nothing is to be reset any more.
    pub(crate) fn set_over(&self) {
        self.over.store(true, Relaxed);
    }

    /// Whether nothing is to be reset any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Whether the controller has ended, or is about to.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Whether the function answers.
    pub(crate) fn is_present(&self) -> bool {
        !faults::is_gone() && self.pdev.is_present()
    }

    /// Queue pair `qid`, if it exists.
    pub(crate) fn queue_pair(&self, qid: u16) -> Option<Arc<Queue<Self>>> {
        self.queues.lock().get(usize::from(qid)).cloned()
    }

    /// The queue pairs by id, the admin queue first. Takes the lock for each, not in between, and
    /// no memory: this is how a controller is stopped.
    pub(crate) fn queue_pairs(&self) -> impl DoubleEndedIterator<Item = Arc<Queue<Self>>> + '_ {
        let count = u16::try_from(self.queues.lock().len()).unwrap_or(u16::MAX);
        (0..count).filter_map(|qid| self.queue_pair(qid))
    }
}
