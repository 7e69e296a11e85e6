// SPDX-License-Identifier: GPL-2.0

//! The I/O queues of a controller: how many, on which interrupts, created and deleted.

use super::shadow_doorbells;
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
        AdminDone,
        AdminError,
        Command,
        CommandStatus,
        Controller,
        IoQueues,
        Quirks, //
    },
    pci::irq::Vectors,
    sync::Completion,
};

/// How many entries the I/O queues of a controller with these capabilities have.
pub(crate) fn depth(ctrl: &Controller<Nvme>, cap: CAP) -> Result<u16> {
    let data = ctrl.data();
    let id = quirks::id(&data.pdev);
    let depth = quirks::io_queue_depth(id, cap, ctrl.quirks(), data.io_queue_depth);
    Ok(u16::try_from(depth)?)
}

/// How many I/O queues a controller with `quirks` has at most that is probed now.
pub(crate) fn most(quirks: Quirks) -> Result<u16> {
    if quirks.contains(Quirks::SHARED_TAGS) {
        return Ok(1);
    }
    let cpus = u16::try_from(mq::possible_queues())?;
    Ok(QueueKinds::wanted(None).max_queues(cpus))
}

/// Creates the I/O queues: one for each CPU, and for those that writes have to themselves or that
/// are polled, as far as controller and interrupts allow. Returns what there is; nothing if the
/// controller refuses to have any.
///
/// The admin queue works. It changes its interrupt on the way.
pub(crate) fn create(ctrl: &Controller<Nvme>) -> Result<IoQueues> {
    let data = ctrl.data();
    let kinds = QueueKinds::wanted(ctrl.io_queue_kinds());
    let cpus = u16::try_from(mq::possible_queues())?;
    let mut want = ctrl.request_io_queues(kinds.max_queues(cpus).min(data.max_io_queues))?;
    // Doorbells may be further apart than the BAR has room for.
    let pairs = bar::queue_pairs(&data.bar, ctrl.capabilities().into());
    want = want.min(u16::try_from(pairs.saturating_sub(1)).unwrap_or(u16::MAX));
    while want > 0 {
        let queues = spread_interrupts(ctrl, kinds, want)?;
        let count = queues.total();
        let created = create_all(ctrl, &queues)?;
        if created == count {
            dev_info!(
                ctrl.device(),
                "{}/{}/{} default/read/poll queues\n",
                queues.default,
                queues.read,
                queues.poll
            );
            tell_memory(ctrl, count);
            shadow_doorbells::configure(ctrl);
            return Ok(queues);
        }
        // There are fewer than planned: spread the interrupts over these.
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

/// Tells how many of the `count` submission queues are in the controller's memory, if any are.
fn tell_memory(ctrl: &Controller<Nvme>, count: u16) {
    let pairs = ctrl.data().queue_pairs().take(usize::from(count) + 1);
    let in_cmb = pairs.filter(|queue| queue.is_in_cmb()).count();
    if in_cmb > 0 {
        dev_info!(
            ctrl.device(),
            "{in_cmb} of {count} submission queues are in the controller memory buffer\n"
        );
    }
}

/// Allocates interrupt vectors for the admin queue and up to `want` I/O queues. Returns which I/O
/// queues they suffice for.
fn spread_interrupts(ctrl: &Controller<Nvme>, kinds: QueueKinds, want: u16) -> Result<IoQueues> {
    let data = ctrl.data();
    let mut hw = Nvme::lock_running(ctrl)?;
    let admin = data.queue_pair(0).ok_or(ENODEV)?;
    let (pdev, hw) = hw.split();

    // The vectors can only be freed when nobody uses them.
    if !admin.disable() {
        // The controller was stopped in between.
        return Err(ENODEV);
    }
    hw.vectors = None;
    let quirks = ctrl.quirks();
    let most = match quirks.contains(Quirks::SINGLE_VECTOR) {
        true => 1,
        false => u32::from(kinds.vectors(want)).wrapping_add(1),
    };
    let allowed = quirks::interrupts(quirks);
    let vectors = Vectors::alloc_sets(pdev, allowed, 1, most, 1, |count| kinds.sets(count))?;
    let vectors = hw.vectors.insert(vectors);
    admin.enable(ctrl, vectors, 0)?;
    Ok(kinds.divide(want, vectors.count().saturating_sub(1)))
}

/// Creates `queues`. Returns how many there is memory for, and the controller accepted. `ENOMEM`
/// without memory for a single one.
fn create_all(ctrl: &Controller<Nvme>, queues: &IoQueues) -> Result<u16> {
    let mut created = 0;
    for qid in 1..=queues.total() {
        let queue = match allocate(ctrl, qid) {
            // The controller is slower with few queues, but it works.
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
            Some(first) => Some(u16::try_from(first)?.wrapping_add(qid).wrapping_sub(1)),
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
    ctrl.set_queue_count(created.wrapping_add(1));
    Ok(created)
}

/// Queue pair `qid`, allocated if it does not exist; those before it do.
fn allocate(ctrl: &Controller<Nvme>, qid: u16) -> Result<Arc<Queue<Nvme>>> {
    let data = ctrl.data();
    if let Some(queue) = data.queue_pair(qid) {
        return Ok(queue);
    }
    let mut hw = Nvme::lock_running(ctrl)?;
    let (pdev, hw) = hw.split();
    let lists = hw.lists.as_ref().ok_or(ENODEV)?;
    let cap = CAP::from(ctrl.capabilities());
    let layout = Layout {
        qid,
        entries: depth(ctrl, cap)?,
        stride: cap.doorbell_stride(),
    };
    let pool = data.cmb.as_ref().and_then(|cmb| cmb.for_queues());
    let queue = Queue::new(pdev, ctrl, &data.bar, lists, pool, layout)?;
    data.queues.lock().push(queue.clone(), GFP_KERNEL)?;
    Ok(queue)
}

/// Has the controller create both queues of a pair, with interrupt `vector` or none.
fn create_pair(
    ctrl: &Controller<Nvme>,
    queue: &Queue<Nvme>,
    vector: Option<u16>,
) -> Result<(), AdminError> {
    let (qid, entries) = (queue.qid(), queue.entries());
    let cq = admin::create_cq(qid, entries, queue.cq_address(), vector);
    ctrl.admin_command(cq, None)?;
    let priority = match ctrl.quirks().contains(Quirks::MEDIUM_PRIO_SQ) {
        true => admin::Priority::Medium,
        false => admin::Priority::Urgent,
    };
    let sq = admin::create_sq(qid, entries, queue.sq_address(), priority);
    ctrl.admin_command(sq, None).map(drop).inspect_err(|_| {
        // The completion queue is of no use alone.
        let _ = ctrl.admin_command(admin::delete_cq(qid), None);
    })
}

/// Signals that a command is complete, whatever came of it.
#[pin_data]
struct Waiter {
    #[pin]
    completion: Completion,
}

impl Waiter {
    /// Creates one without waiting for memory: the disk that memory would be written to may be the
    /// one that is being stopped.
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Waiter { completion <- Completion::new() }),
            GFP_ATOMIC,
        )
    }

    /// Waits for one command to be complete, for at most `limit` jiffies; returns what is left of
    /// it. `None` if it is not, in time, or never will be: the PF of a VF has gone down.
    fn wait(&self, ctrl: &Controller<Nvme>, limit: Jiffies) -> Option<Jiffies> {
        let step = msecs_to_jiffies(10);
        let mut left = limit;
        while left > 0 && !ctrl.data().role.has_to_wait() {
            let this = step.min(left);
            left -= this;
            if let Some(rest) = self.completion.wait_io_timeout(this) {
                return Some((left + rest).max(1));
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

/// Deletes the I/O queues that are enabled: all submission queues at once, as far as the admin
/// queue has room, then all completion queues. Gives up when the time of one admin command is over:
/// the controller is disabled next anyway, which takes its queues too.
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
                // Perhaps there is room when one is complete.
                if wait(&mut sent).is_none() {
                    return;
                }
            }
            sent = sent.wrapping_add(1);
        }
        while sent > 0 {
            if wait(&mut sent).is_none() {
                return;
            }
        }
    }
}

/// Sends `command` and waits for it for `limit`; returns what is left of it.
pub(crate) fn execute(
    ctrl: &Controller<Nvme>,
    command: Command,
    limit: Jiffies,
) -> Option<Jiffies> {
    let waiter = Waiter::new().ok()?;
    ctrl.admin_command_nowait(command, waiter.clone()).ok()?;
    waiter.wait(ctrl, limit)
}

/// Fits the block layer's idea of the I/O queues to `queues`. If it has one, they are frozen.
pub(crate) fn update(ctrl: &Controller<Nvme>, queues: IoQueues) -> Result {
    // CPUs are mapped to queues by the queues' interrupts, which have to stay until that is done.
    let _hw = Nvme::lock_running(ctrl)?;
    match ctrl.io_queue_kinds() {
        None => ctrl.alloc_io_tag_set(queues),
        Some(_) => ctrl.update_io_queues(queues),
    }
}
