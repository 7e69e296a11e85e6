// SPDX-License-Identifier: GPL-2.0

//! The controller as nvme-core sees it: registers, requests, events.

use crate::{
    bar::{
        self,
        Bar0, //
    },
    cmb::{
        self,
        Cmb, //
    },
    data::{
        self,
        lists::{
            ListPools,
            Lists, //
        },
        prp,
        sgl, //
    },
    faults,
    hmb::{
        self,
        Hmb, //
    },
    io_queues,
    lifecycle,
    parameters,
    queue::Queue,
    quirks,
    shadow_doorbells::ShadowDoorbells,
    spec::{
        admin,
        registers::CSTS, //
    },
    sriov::{
        self,
        Role, //
    },
    timeout, //
};
use kernel::{
    device::Bound,
    io::register::Register,
    new_mutex,
    pci,
    prelude::*,
    str::BStr,
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
#[cfg(NVME_RS_FAULTS)]
use kernel_ext::nvme::{
    Command,
    Data, //
};
use kernel_ext::{
    block::mq::{
        Status,
        TimerAction,
        MAX_SEGMENTS, //
    },
    nvme::{
        Attribute,
        Batch,
        Commands,
        Controller,
        InFlight,
        Limits,
        Quirks,
        Request,
        Started,
        Transport,
        ASYNC_EVENT_ID, //
    },
    pci::{
        irq::Vectors,
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
    pub(crate) queues: Mutex<KVec<Arc<Queue>>>,
    /// What the controller is to others of its device.
    pub(crate) role: Role,
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
    /// Makes the controller of `pdev`, as yet without queues.
    pub(crate) fn controller(
        pdev: &pci::Device<Bound>,
        bound: Arc<BoundLock<Hardware>>,
        bar: Arc<Bar0>,
        quirks: Quirks,
        cmb: Option<Cmb>,
        role: Role,
    ) -> Result<ARef<Controller<Self>>> {
        let max_io_queues = io_queues::most(quirks)?;
        let limits = Limits {
            max_bytes: prp::MAX_BYTES,
            max_segments: u32::try_from(MAX_SEGMENTS.min(sgl::MAX_SEGMENTS))?,
            max_metadata_segments: u16::try_from(sgl::MAX_METADATA_SEGMENTS)?,
        };
        let function: &pci::Device = pdev;
        Controller::new(
            pdev.as_ref(),
            max_io_queues.checked_add(1).ok_or(EINVAL)?,
            limits,
            quirks,
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
            }),
        )
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
    pub(crate) fn queue_pair(&self, qid: u16) -> Option<Arc<Queue>> {
        self.queues.lock().get(usize::from(qid)).cloned()
    }

    /// The queue pairs by id, the admin queue first. Takes the lock for each, not in between, and
    /// no memory: this is how a controller is stopped.
    pub(crate) fn queue_pairs(&self) -> impl DoubleEndedIterator<Item = Arc<Queue>> + '_ {
        let count = u16::try_from(self.queues.lock().len()).unwrap_or(u16::MAX);
        (0..count).filter_map(|qid| self.queue_pair(qid))
    }
}

/// Builds the command of `rq`, maps what it transfers, and starts the request's clock.
#[inline]
fn start<'a>(
    ctrl: &Controller<Nvme>,
    queue: &Queue,
    rq: Request<'a, Nvme>,
) -> Result<Started<'a, Nvme>, Status> {
    let mut rq = rq.setup()?;
    data::map(ctrl, queue.qid() == 0, queue.lists(), &mut rq)?;
    Ok(rq.start())
}

#[vtable]
impl Transport for Nvme {
    const NAME: &'static CStr = c"pcie";

    const ATTRIBUTES: &'static [Attribute<Self>] = &[cmb::BOTH, cmb::LOCATION, cmb::SIZE, hmb::ON];

    type Queue = Queue;
    type RequestData = Lists;

    fn read32(ctrl: &Controller<Self>, offset: u32) -> Result<u32> {
        // This is how nvme-core waits for the controller: it must not wait for one that is off.
        if offset as usize == CSTS::OFFSET && sriov::has_to_wait(ctrl) {
            return Err(ENODEV);
        }
        bar::read32(&ctrl.data().bar, offset as usize)
    }

    fn write32(ctrl: &Controller<Self>, offset: u32, value: u32) -> Result {
        bar::write32(&ctrl.data().bar, offset as usize, value)
    }

    fn read64(ctrl: &Controller<Self>, offset: u32) -> Result<u64> {
        bar::read64(&ctrl.data().bar, offset as usize)
    }

    fn submit_async_event(ctrl: &Controller<Self>) {
        if let Some(queue) = ctrl.data().queue_pair(0) {
            queue.submit(admin::async_event(ASYNC_EVENT_ID), true);
        }
    }

    fn reset(ctrl: &Controller<Self>) {
        lifecycle::reset(ctrl);
    }

    fn reset_subsystem(ctrl: &Controller<Self>) -> Result {
        lifecycle::reset_subsystem(ctrl)
    }

    fn print_device_info(ctrl: &Controller<Self>) {
        let (vendor, device) = quirks::id(&ctrl.data().pdev);
        let Some((model, firmware)) = ctrl.product() else {
            return;
        };
        dev_err!(
            ctrl.device(),
            "device {vendor:04x}:{device:04x}, model {}, firmware {}\n",
            BStr::from_bytes(model.trim_ascii_end()),
            BStr::from_bytes(firmware.trim_ascii_end())
        );
    }

    fn queue(ctrl: &Controller<Self>, qid: u16) -> Option<Arc<Queue>> {
        ctrl.data().queue_pair(qid)
    }

    #[inline]
    fn queue_rq(
        ctrl: &Controller<Self>,
        queue: &Queue,
        rq: Request<'_, Self>,
        last: bool,
    ) -> Result<(), Status> {
        // A queue that is being taken away still drains what the block layer has for it.
        if !queue.is_enabled() {
            return Err(Status::IOERR);
        }
        if !rq.is_ready() {
            return rq.fail_not_ready();
        }
        queue.submit(start(ctrl, queue, rq)?.into_command(), last);
        Ok(())
    }

    #[inline]
    fn prepare<'a>(
        ctrl: &'a Controller<Self>,
        queue: &Queue,
        rq: Request<'a, Self>,
    ) -> Option<Started<'a, Self>> {
        if !queue.is_enabled() || !rq.is_ready() {
            return None;
        }
        start(ctrl, queue, rq).ok()
    }

    #[inline]
    fn submit(queue: &Queue, commands: Commands<'_, Self>) {
        queue.submit_all(commands);
    }

    #[inline]
    fn commit_rqs(queue: &Queue) {
        queue.commit();
    }

    #[inline]
    fn poll(queue: &Queue, batch: &mut Batch<'_, Self>) -> bool {
        queue.try_poll(batch)
    }

    #[inline]
    fn release(queue: &Queue, lists: &mut Lists) {
        lists.free(queue.lists());
    }

    #[cfg(NVME_RS_FAULTS)]
    fn inject(queue: &Queue, command: &Command, data: &mut Data<'_>) {
        if queue.qid() == 0 {
            faults::data(command, data);
        }
    }

    fn timeout(ctrl: &Controller<Self>, queue: &Queue, rq: &InFlight<'_, Self>) -> TimerAction {
        timeout::timeout(ctrl, queue, rq)
    }
}
