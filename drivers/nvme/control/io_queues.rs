// SPDX-License-Identifier: GPL-2.0

//! Creates and deletes the I/O queues of a controller, and divides its interrupts among them.
//!
//! The admin queue must be enabled: these functions send admin commands and sleep. They take the
//! `BoundLock` only for moments, by `Nvme::lock_running`, and never while a command is waited for. Only
//! [`delete`] may be called with the lock held, as it waits no longer than one admin timeout.

use super::{
    depth::{
        self,
        Depth, //
    },
    shadow_doorbells, //
};
use crate::{
    bar,
    controller::Nvme,
    queue::{
        Layout,
        Queue,
        QueueKinds, //
    },
    quirks,
    spec::{
        admin,
        registers::CAP, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        msecs_to_jiffies,
        Jiffies, //
    },
};
use kernel_ext::{
    block::mq,
    nvme::{
        AdminCommand,
        AdminDone,
        AdminError,
        CommandStatus,
        Controller,
        IoQueues,
        NoData,
        Quirks, //
    },
    pci::irq::Vectors,
    sync::Completion,
};

/// Returns the largest number of I/O queues of a controller with `quirks` that is probed now.
pub(crate) fn max_io_queues(quirks: Quirks) -> Result<u16> {
    if quirks.contains(Quirks::SHARED_TAGS) {
        return Ok(1);
    }
    let cpus = u16::try_from(mq::possible_queues())?;
    Ok(QueueKinds::wanted(None).max_queues(cpus))
}

/// Creates the I/O queues: one for each CPU, and those that are only for writes or polled, as many as
/// the controller and the interrupts allow. Returns the queues; there are none if the controller refuses
/// all, or CAP.MQES allows none.
///
/// The interrupt vectors are allocated anew, so the admin queue gets another interrupt.
pub(crate) fn create(ctrl: &Controller<Nvme>) -> Result<IoQueues> {
    let data = ctrl.data();
    let cap = CAP::from(ctrl.capabilities());
    if depth::largest(ctrl, cap)? < 2 {
        dev_warn!(
            ctrl.device(),
            "CAP.MQES is 0: queues of one entry cannot be used\n"
        );
        return Ok(IoQueues::default());
    }
    let kinds = QueueKinds::wanted(ctrl.io_queue_kinds());
    let cpus = u16::try_from(mq::possible_queues())?;
    let mut want = ctrl.request_io_queues(kinds.max_queues(cpus).min(data.max_io_queues))?;
    // The BAR may be too short for the doorbells of all queues.
    let pairs = bar::queue_pairs(&data.bar, cap);
    want = want.min(u16::try_from(pairs.saturating_sub(1)).unwrap_or(u16::MAX));
    while want > 0 {
        let queues = spread_interrupts(ctrl, kinds, want)?;
        let count = queues.total();
        let depth = depth::choose(ctrl, count)?;
        let created = create_all(ctrl, &queues, depth)?;
        if created == count {
            dev_info!(
                ctrl.device(),
                "{}/{}/{} default/read/poll queues\n",
                queues.default,
                queues.read,
                queues.poll
            );
            log_cmb_queues(ctrl, count);
            shadow_doorbells::configure(ctrl);
            return Ok(queues);
        }
        // Begin again with the queues that could be created, and divide the interrupts among them.
        dev_warn!(
            ctrl.device(),
            "only {created} of {count} I/O queues could be created\n"
        );
        delete(ctrl);
        for queue in ctrl.data().queue_pairs().skip(1) {
            queue.disable();
        }
        want = created;
    }
    ctrl.set_queue_count(1);
    Ok(IoQueues::default())
}

/// Logs how many of the `count` I/O submission queues are in the controller's memory, if any are.
fn log_cmb_queues(ctrl: &Controller<Nvme>, count: u16) {
    let pairs = ctrl.data().queue_pairs().take(usize::from(count) + 1);
    let in_cmb = pairs.filter(|queue| queue.is_in_cmb()).count();
    if in_cmb > 0 {
        dev_info!(
            ctrl.device(),
            "{in_cmb} of {count} submission queues are in the controller memory buffer\n"
        );
    }
}

/// Allocates interrupt vectors for the admin queue and up to `want` I/O queues. Returns the I/O queues
/// for which they suffice.
fn spread_interrupts(ctrl: &Controller<Nvme>, kinds: QueueKinds, want: u16) -> Result<IoQueues> {
    let data = ctrl.data();
    let mut hw = Nvme::lock_running(ctrl)?;
    let admin = data.queue_pair(0).ok_or(ENODEV)?;
    let (pdev, hw) = hw.split();

    // The vectors cannot be freed while a queue uses one.
    if !admin.disable() {
        // The controller has been stopped meanwhile.
        return Err(ENODEV);
    }
    hw.vectors = None;
    let quirks = ctrl.quirks();
    let max = if quirks.contains(Quirks::SINGLE_VECTOR) {
        1
    } else {
        u32::from(kinds.vectors(want)) + 1
    };
    let allowed = quirks::interrupts(quirks);
    let vectors = Vectors::alloc_sets(pdev, allowed, 1, max, 1, |count| kinds.sets(count))?;
    let vectors = hw.vectors.insert(vectors);
    admin.enable(ctrl, vectors, 0)?;
    Ok(kinds.divide(want, vectors.count().saturating_sub(1)))
}

/// Creates `queues`, until memory runs out or the controller refuses one. Returns the number of queues
/// that were created. `ENOMEM` if there is no memory for the first one.
fn create_all(ctrl: &Controller<Nvme>, queues: &IoQueues, depth: Depth) -> Result<u16> {
    let mut created = 0;
    for qid in 1..=queues.total() {
        let queue = match allocate(ctrl, qid, depth) {
            // The controller works with fewer queues.
            Err(e) if e == ENOMEM && created > 0 => {
                dev_warn!(ctrl.device(), "no memory for I/O queue {qid}\n");
                break;
            }
            allocated => allocated?,
        };
        queue.clear()?;
        let vector = match queues.first_vector {
            _ if qid > queues.with_interrupt() => None,
            None => Some(0),
            Some(first) => Some(
                u16::try_from(first)?
                    .checked_add(qid.saturating_sub(1))
                    .ok_or(EINVAL)?,
            ),
        };
        match create_pair(ctrl, &queue, vector) {
            Err(AdminError::Refused(status)) => {
                dev_warn!(
                    ctrl.device(),
                    "I/O queue {qid} was refused, status {:#x}\n",
                    status.code()
                );
                break;
            }
            created => created?,
        }
        let hw = Nvme::lock_running(ctrl)?;
        let vectors = hw.vectors.as_ref().ok_or(ENODEV)?;
        match vector {
            Some(vector) => queue.enable(ctrl, vectors, vector.into())?,
            None => queue.enable_polled()?,
        }
        created = qid;
    }
    ctrl.set_queue_count(created.saturating_add(1));
    Ok(created)
}

/// Returns queue pair `qid`; allocates it if it does not exist. Those with lower ids must exist.
fn allocate(ctrl: &Controller<Nvme>, qid: u16, depth: Depth) -> Result<Arc<Queue<Nvme>>> {
    let data = ctrl.data();
    if let Some(queue) = data.queue_pair(qid) {
        return Ok(queue);
    }
    let mut hw = Nvme::lock_running(ctrl)?;
    let (pdev, hw) = hw.split();
    let lists = hw.lists.as_ref().ok_or(ENODEV)?;
    let layout = Layout {
        qid,
        entries: depth.entries,
        stride: CAP::from(ctrl.capabilities()).doorbell_stride(),
    };
    let cmb = data.cmb.as_ref().filter(|_| depth.in_cmb);
    let pool = cmb.and_then(|cmb| cmb.for_queues());
    let queue = Queue::new(pdev, ctrl, &data.bar, lists, pool, layout)?;
    data.queues.lock().push(queue.clone(), GFP_KERNEL)?;
    Ok(queue)
}

/// Makes the controller create both queues of a pair, with interrupt `vector` or without one.
fn create_pair(
    ctrl: &Controller<Nvme>,
    queue: &Queue<Nvme>,
    vector: Option<u16>,
) -> Result<(), AdminError> {
    let (qid, entries) = (queue.qid(), queue.entries());
    let cq = admin::create_cq(qid, entries, queue.cq_address(), vector);
    ctrl.admin_command(cq, ())?;
    let priority = if ctrl.quirks().contains(Quirks::MEDIUM_PRIO_SQ) {
        admin::Priority::Medium
    } else {
        admin::Priority::Urgent
    };
    let sq = admin::create_sq(qid, entries, queue.sq_address(), priority);
    ctrl.admin_command(sq, ()).map(drop).inspect_err(|_| {
        // The completion queue is useless without the submission queue.
        let _ = ctrl.admin_command(admin::delete_cq(qid), ());
    })
}

/// Waits for commands, whether they succeed or fail.
#[pin_data]
struct Waiter {
    #[pin]
    completion: Completion,
}

impl Waiter {
    /// Creates a waiter. The allocation does not reclaim memory: that might write to the disk that is
    /// being stopped.
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Waiter { completion <- Completion::new() }),
            GFP_ATOMIC,
        )
    }

    /// Waits until one command has completed, for at most `limit` jiffies. Returns the rest of `limit`;
    /// `None` if none has completed in time, or the controller is a VF's and its PF has gone down.
    fn wait(&self, ctrl: &Controller<Nvme>, limit: Jiffies) -> Option<Jiffies> {
        let step = msecs_to_jiffies(10);
        let mut left = limit;
        while left > 0 && !ctrl.data().role.has_to_wait() {
            let this = step.min(left);
            left -= this;
            if let Some(rest) = self.completion.wait_io_timeout(this) {
                return Some(left.saturating_add(rest).max(1));
            }
        }
        None
    }
}

impl AdminDone for Waiter {
    fn done(&self, _status: Result<(), CommandStatus>) {
        self.completion.complete();
    }
}

/// Deletes the I/O queues that are enabled: all submission queues at the same time, as far as there are
/// free admin tags, then all completion queues. Gives up after one admin timeout: the controller is
/// disabled next, which deletes its queues, too.
pub(crate) fn delete(ctrl: &Controller<Nvme>) {
    let Ok(waiter) = Waiter::new() else {
        return;
    };
    let mut left = ctrl.admin_timeout();
    for command in [admin::delete_sq, admin::delete_cq] {
        let io = |queue: &Arc<Queue<Nvme>>| queue.qid() != 0 && queue.is_enabled();
        let mut sent: u32 = 0;
        let mut wait = |sent: &mut u32| {
            *sent = sent.checked_sub(1)?;
            left = waiter.wait(ctrl, left)?;
            Some(())
        };
        for queue in ctrl.data().queue_pairs().rev().filter(io) {
            while ctrl
                .admin_command_nowait(command(queue.qid()), waiter.clone())
                .is_err()
            {
                // There may be a free tag when a command has completed.
                if wait(&mut sent).is_none() {
                    return;
                }
            }
            sent = sent.saturating_add(1);
        }
        while sent > 0 {
            if wait(&mut sent).is_none() {
                return;
            }
        }
    }
}

/// Sends `command`, and waits until it has completed, for at most `limit` jiffies. Returns the rest of
/// `limit`; `None` if the command was not sent, or has not completed in time.
pub(crate) fn execute(
    ctrl: &Controller<Nvme>,
    command: AdminCommand<NoData>,
    limit: Jiffies,
) -> Option<Jiffies> {
    let waiter = Waiter::new().ok()?;
    ctrl.admin_command_nowait(command, waiter.clone()).ok()?;
    waiter.wait(ctrl, limit)
}

/// Allocates the block layer's tags for `queues`, or, if they exist, updates them; then the I/O queues
/// must be frozen.
pub(crate) fn update(ctrl: &Controller<Nvme>, queues: IoQueues) -> Result {
    // The block layer maps CPUs to queues by the interrupts: these must not be freed meanwhile.
    let hw = Nvme::lock_running(ctrl)?;
    let vectors = hw.vectors.as_ref().ok_or(ENODEV)?;
    match ctrl.io_queue_kinds() {
        None => ctrl.alloc_io_tag_set(queues, vectors),
        Some(_) => ctrl.update_io_queues(queues, vectors),
    }
}
