// SPDX-License-Identifier: GPL-2.0

//! The callbacks of nvme-core and of the block layer: registers, requests, events.
//!
//! Only `driver` uses this module. The callbacks for requests (`queue_rq` to `inject`) run in the block
//! layer's context: they do not sleep, and take no lock of the driver but that of the submission queue.
//! `poll` runs in the context of the thread that polls. `timeout` runs in the block layer's timeout work,
//! and may sleep, as all others may.

mod attributes;

#[cfg(NVME_RS_FAULTS)]
use crate::faults;
use crate::{
    bar::{
        self,
        Bar0, //
    },
    control::{
        io_queues,
        lifecycle,
        timeout, //
    },
    controller::{
        Hardware,
        Nvme,
        Role, //
    },
    data::{
        self,
        lists::Lists,
        prp,
        sgl,
        Lender, //
    },
    memory::cmb::Cmb,
    queue::{
        Owner,
        Queue, //
    },
    quirks,
    spec::{
        admin,
        registers::CSTS, //
    },
};
use kernel::{
    device::Bound,
    io::register::Register,
    pci,
    prelude::*,
    str::BStr,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};
#[cfg(NVME_RS_FAULTS)]
use kernel_ext::nvme::{
    Command,
    FaultData, //
};
use kernel_ext::{
    block::mq::{
        Status,
        TimerAction,
        MAX_SEGMENTS, //
    },
    nvme::{
        Accepted,
        Attribute,
        Batch,
        Commands,
        Controller,
        InFlight,
        Limits,
        Quirks,
        Refused,
        Request,
        Started,
        Transport,
        ASYNC_EVENT_ID, //
    },
    pci::BoundLock,
    workqueue::Spawner, //
};

/// Creates the controller of `pdev`, without queues.
pub(crate) fn new_controller(
    pdev: &pci::Device<Bound>,
    bound: Arc<BoundLock<Hardware>>,
    bar: Arc<Bar0>,
    quirks: Quirks,
    cmb: Option<Cmb>,
    role: KBox<dyn Role>,
    spawner: &Spawner,
) -> Result<ARef<Controller<Nvme>>> {
    let max_io_queues = io_queues::max_io_queues(quirks)?;
    let limits = Limits {
        max_bytes: prp::MAX_BYTES,
        max_segments: u32::try_from(MAX_SEGMENTS.min(sgl::MAX_SEGMENTS))?,
        max_metadata_segments: u16::try_from(sgl::MAX_METADATA_SEGMENTS)?,
    };
    Controller::new(
        pdev.as_ref(),
        max_io_queues.checked_add(1).ok_or(EINVAL)?,
        limits,
        quirks,
        Nvme::new(pdev, bound, bar, cmb, max_io_queues, role, spawner),
    )
}

/// Builds the command of `rq`, maps its data, and starts its timeout.
#[inline(always)]
fn start<'rq>(
    queue: &Queue<Nvme>,
    rq: Request<'rq, Nvme>,
) -> Result<Started<'rq, Nvme>, Refused<'rq>> {
    let rq = data::map(queue, rq.setup()?)?;
    Ok(rq.start())
}

impl Owner for Nvme {
    fn user_command_completed(ctrl: &Controller<Self>, opcode: u8) {
        ctrl.data().role.command_completed(opcode);
    }
}

#[vtable]
impl Transport for Nvme {
    const NAME: &'static CStr = c"pcie";

    const ATTRIBUTES: &'static [Attribute<Self>] = attributes::ALL;

    type Queue = Queue<Self>;
    type RequestData = Lists;

    fn read32(ctrl: &Controller<Self>, offset: u32) -> Result<u32> {
        // nvme-core waits for the controller by reading CSTS. It must not wait for a VF whose PF is down.
        if offset as usize == CSTS::OFFSET && ctrl.data().role.has_to_wait() {
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
            queue.submit(&admin::async_event(ASYNC_EVENT_ID));
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

    fn queue(ctrl: &Controller<Self>, qid: u16) -> Option<Arc<Queue<Self>>> {
        ctrl.data().queue_pair(qid)
    }

    #[inline]
    fn queue_rq<'rq>(
        _ctrl: &Controller<Self>,
        queue: &Queue<Self>,
        rq: Request<'rq, Self>,
        last: bool,
    ) -> Result<Accepted<'rq>, Refused<'rq>> {
        // The block layer may still send requests to a queue that is being removed.
        if !queue.is_enabled() {
            return Err(rq.refuse(Status::IOERR));
        }
        if !rq.is_ready() {
            return rq.fail_not_ready();
        }
        Ok(queue.send(start(queue, rq)?, last))
    }

    #[inline]
    fn is_enabled(queue: &Queue<Self>) -> bool {
        queue.is_enabled()
    }

    #[inline]
    fn prepare<'rq>(
        _ctrl: &Controller<Self>,
        queue: &Queue<Self>,
        rq: Request<'rq, Self>,
    ) -> Result<Started<'rq, Self>, Refused<'rq>> {
        start(queue, rq)
    }

    #[inline]
    fn submit(queue: &Queue<Self>, commands: Commands<'_, Self>) {
        queue.send_all(commands);
    }

    #[inline]
    fn commit_rqs(queue: &Queue<Self>) {
        queue.commit();
    }

    #[inline]
    fn poll(queue: &Queue<Self>, batch: Batch<'_, Self>) -> bool {
        queue.try_poll(batch)
    }

    #[inline]
    fn release(queue: &Queue<Self>, lists: &mut Lists) {
        lists.free(queue.lists());
    }

    #[cfg(NVME_RS_FAULTS)]
    fn inject(queue: &Queue<Self>, command: &Command, data: &mut FaultData<'_>) {
        if queue.qid() == 0 {
            faults::data(command, data);
        }
    }

    fn timeout(
        ctrl: &Controller<Self>,
        queue: &Queue<Self>,
        rq: &InFlight<'_, Self>,
    ) -> TimerAction {
        timeout::timeout(ctrl, queue, rq)
    }
}
