// SPDX-License-Identifier: GPL-2.0

//! What a transport does for nvme-core.

use super::{
    Accepted,
    Attribute,
    Batch,
    Commands,
    Controller,
    InFlight,
    Refused,
    Request,
    Started, //
};
#[cfg(NVME_RS_FAULTS)]
use super::{
    Command,
    FaultData, //
};
use crate::block::mq::TimerAction;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A way to a controller.
///
/// `Self` is the transport's data of one controller, see [`Controller::data`]; it lives as long as
/// anybody holds the controller, which may be longer than the device is bound.
///
/// # Examples
///
/// ```
/// # use kernel::{prelude::*, sync::Arc};
/// # use kernel_ext::{
/// #     block::mq::TimerAction,
/// #     nvme::{
/// #         Accepted, Attribute, Batch, Command, Commands, Controller, InFlight, Refused, Request,
/// #         Started, Transport,
/// #     },
/// # };
/// /// Commands on their way to a controller.
/// struct Queue;
///
/// impl Queue {
///     fn push(&self, _command: &Command) {}
///     fn ring(&self) {}
/// }
///
/// /// A controller that is reached in some way.
/// struct Sample {
///     queues: KVec<Arc<Queue>>,
/// }
///
/// #[vtable]
/// impl Transport for Sample {
///     const NAME: &'static CStr = c"sample";
///     const ATTRIBUTES: &'static [Attribute<Self>] = &[];
///
///     type Queue = Queue;
///     type RequestData = ();
///
///     fn queue(ctrl: &Controller<Self>, qid: u16) -> Option<Arc<Queue>> {
///         ctrl.data().queues.get(usize::from(qid)).cloned()
///     }
///
///     fn queue_rq<'rq>(
///         _ctrl: &Controller<Self>,
///         queue: &Queue,
///         rq: Request<'rq, Self>,
///         last: bool,
///     ) -> Result<Accepted<'rq>, Refused<'rq>> {
///         if !rq.is_ready() {
///             return rq.fail_not_ready();
///         }
///         // A transport with data maps it in between, by the `Prepared` that `setup` returns.
///         let accepted = rq.setup()?.start().send(|command| queue.push(command));
///         if last {
///             queue.ring();
///         }
///         Ok(accepted)
///     }
///
///     fn is_enabled(_queue: &Queue) -> bool {
///         true
///     }
///
///     fn prepare<'rq>(
///         _ctrl: &Controller<Self>,
///         _queue: &Queue,
///         rq: Request<'rq, Self>,
///     ) -> Result<Started<'rq, Self>, Refused<'rq>> {
///         Ok(rq.setup()?.start())
///     }
///
///     fn submit(queue: &Queue, commands: Commands<'_, Self>) {
///         commands.send(|command| queue.push(command));
///         queue.ring();
///     }
///
///     fn commit_rqs(queue: &Queue) {
///         queue.ring();
///     }
///
///     fn timeout(ctrl: &Controller<Self>, _: &Queue, rq: &InFlight<'_, Self>) -> TimerAction {
///         dev_warn!(ctrl.device(), "command {:?} is lost\n", rq.command_id());
///         // The reset cancels it.
///         let _ = ctrl.schedule_reset();
///         TimerAction::Restart
///     }
///
///     // ... and registers, resets, events, which are left out here.
/// #     fn read32(_: &Controller<Self>, _: u32) -> Result<u32> {
/// #         Err(ENODEV)
/// #     }
/// #     fn write32(_: &Controller<Self>, _: u32, _: u32) -> Result {
/// #         Err(ENODEV)
/// #     }
/// #     fn read64(_: &Controller<Self>, _: u32) -> Result<u64> {
/// #         Err(ENODEV)
/// #     }
/// #     fn submit_async_event(_: &Controller<Self>) {}
/// #     fn reset(_: &Controller<Self>) {}
/// #     fn reset_subsystem(_: &Controller<Self>) -> Result {
/// #         Err(ENOTTY)
/// #     }
/// #     fn print_device_info(_: &Controller<Self>) {}
/// #     fn poll(_: &Queue, _: Batch<'_, Self>) -> bool {
/// #         false
/// #     }
/// #     fn release(_: &Queue, _: &mut ()) {}
/// #     #[cfg(NVME_RS_FAULTS)]
/// #     fn inject(_: &Queue, _: &Command, _: &mut kernel_ext::nvme::FaultData<'_>) {}
/// }
/// ```
#[vtable]
pub trait Transport: Sized + Send + Sync + 'static {
    /// What `/sys/class/nvme/nvmeX/transport` reads.
    const NAME: &'static CStr;

    /// What the transport adds to `/sys/class/nvme/nvmeX`.
    const ATTRIBUTES: &'static [Attribute<Self>];

    /// A submission and completion queue pair, as the submission path needs it.
    type Queue: Send + Sync + 'static;

    /// What the transport keeps in each request.
    type RequestData: Default + Send + 'static;

    /// Reads the 32-bit register at `offset` (base specification, section 3.1.4).
    fn read32(ctrl: &Controller<Self>, offset: u32) -> Result<u32>;

    /// Writes the 32-bit register at `offset`.
    fn write32(ctrl: &Controller<Self>, offset: u32, value: u32) -> Result;

    /// Reads the 64-bit register at `offset`.
    fn read64(ctrl: &Controller<Self>, offset: u32) -> Result<u64>;

    /// Submits one Asynchronous Event Request, with [`ASYNC_EVENT_ID`](super::ASYNC_EVENT_ID).
    fn submit_async_event(ctrl: &Controller<Self>);

    /// Resets the controller: it is in state `Resetting`, and is to become `Live` again, or `Dead`.
    /// Runs in nvme-core's reset workqueue.
    fn reset(ctrl: &Controller<Self>);

    /// Resets the NVM subsystem, of which this controller is one (section 3.7.1). Only called if
    /// the controller says that it can (CAP.NSSRS). Sleeps.
    fn reset_subsystem(ctrl: &Controller<Self>) -> Result;

    /// Tells in the kernel log what device this is; something is wrong with it.
    fn print_device_info(ctrl: &Controller<Self>);

    /// The queue pair `qid`; 0 is the admin queue. `None` if there is no such.
    fn queue(ctrl: &Controller<Self>, qid: u16) -> Option<Arc<Self::Queue>>;

    /// Sends `rq` on `queue`. The doorbell may be left for later unless `last`. May not sleep.
    fn queue_rq<'rq>(
        ctrl: &Controller<Self>,
        queue: &Self::Queue,
        rq: Request<'rq, Self>,
        last: bool,
    ) -> Result<Accepted<'rq>, Refused<'rq>>;

    /// Whether `queue` takes requests; asked once for several that go out together. If not, they come
    /// to [`Transport::queue_rq`] next.
    fn is_enabled(queue: &Self::Queue) -> bool;

    /// Starts `rq`, one of several requests that go out together, for [`Transport::submit`]. The
    /// controller is live, and `queue` enabled. If `rq` is refused, it comes to
    /// [`Transport::queue_rq`] next, whose answer counts. May not sleep.
    fn prepare<'rq>(
        ctrl: &Controller<Self>,
        queue: &Self::Queue,
        rq: Request<'rq, Self>,
    ) -> Result<Started<'rq, Self>, Refused<'rq>>;

    /// Sends all of `commands` on `queue`, and rings the doorbell. May not sleep. Requests whose
    /// commands are not taken fail.
    fn submit(queue: &Self::Queue, commands: Commands<'_, Self>);

    /// Rings the doorbell for what was queued without `last`.
    fn commit_rqs(queue: &Self::Queue);

    /// Completes what the controller has completed of `queue`, if it is one that is polled, with
    /// the requests of `batch`. Returns whether there was any. May not sleep.
    fn poll(queue: &Self::Queue, batch: Batch<'_, Self>) -> bool;

    /// The device is done with a request's data: gives back what `data` holds. Any context.
    fn release(queue: &Self::Queue, data: &mut Self::RequestData);

    /// `command` of `queue` is complete, and nobody has seen yet what it has read into `data`. May
    /// change that, to test who reads it.
    #[cfg(NVME_RS_FAULTS)]
    fn inject(queue: &Self::Queue, command: &Command, data: &mut FaultData<'_>);

    /// The time of `rq` is up. Sleeps if it likes.
    fn timeout(
        ctrl: &Controller<Self>,
        queue: &Self::Queue,
        rq: &InFlight<'_, Self>,
    ) -> TimerAction;
}
