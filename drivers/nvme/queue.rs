// SPDX-License-Identifier: GPL-2.0

//! Queue pairs: commands go out by a submission queue ([`submission`]), and their completions come back
//! by a completion queue ([`completion`]).
//!
//! Queues carry commands and completions, whatever these are for. Submission runs in the context in
//! which the block layer calls `queue_rq`, and takes the spinlock of the submission queue only.
//! Completion runs in the interrupt handler, or polls. Everything else sleeps. Queues use what is below
//! them, and know the transport only by the trait [`Owner`].

mod completion;
mod doorbell;
mod kinds;
mod memory;
mod owner;
mod ring;
mod shadow;
mod submission;

use self::{
    completion::CompletionQueue,
    doorbell::Doorbell,
    submission::SubmissionQueue, //
};
pub(crate) use self::{
    kinds::QueueKinds,
    owner::Owner,
    shadow::ShadowDoorbells, //
};
use crate::{
    bar::Bar0,
    data::{
        lists::ListPools,
        Lender, //
    },
    faults,
    parameters,
    spec::registers, //
};
use kernel::{
    device,
    dma::DmaAddress,
    new_spinlock,
    pci,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        SpinLock, //
    }, //
};
use kernel_ext::{
    nvme::{
        Accepted,
        Batch,
        Command,
        Commands,
        CompletionRing,
        Controller,
        Quirks,
        Started,
        Watch, //
    },
    pci::{
        irq::{
            IrqCell,
            Vectors, //
        },
        P2pPool, //
    },
};

/// The id, size and doorbells of a queue pair.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// The queues' id; 0 is the admin queue.
    pub(crate) qid: u16,
    /// The number of entries of each of the two queues.
    pub(crate) entries: u16,
    /// The distance between doorbells, in bytes.
    pub(crate) stride: usize,
}

/// A submission queue and the completion queue of the same id.
///
/// The queue owns its memory as long as the device is bound. The controller may access it from
/// [`Queue::enable`] on until the controller is disabled.
#[pin_data]
pub(crate) struct Queue<T: Owner> {
    qid: u16,
    entries: u16,
    sq_address: DmaAddress,
    cq_address: DmaAddress,
    /// Whether commands may be submitted. Set while the queue exists in the controller.
    enabled: Atomic<bool>,
    /// The pools from which the lists of the queue's commands come.
    lists: Arc<ListPools>,
    /// No other lock is taken while it is held.
    #[pin]
    sq: SpinLock<SubmissionQueue>,
    cq: IrqCell<CompletionQueue<T>>,
    /// A look at `cq` for those who poll. Whoever takes completions has it follow, but the interrupt
    /// handler: then nobody polls.
    watch: Watch,
}

impl<T: Owner> Queue<T> {
    /// Allocates a queue pair by `layout`. The submission queue is in the memory of `pool`, if that has
    /// room.
    ///
    /// `ENOMEM` without memory, `EINVAL` if the doorbells are beyond the end of the BAR, `EBUSY`
    /// if there is a queue of this id already.
    pub(crate) fn new(
        dev: &pci::Device<device::Bound>,
        ctrl: &Controller<T>,
        bar: &Arc<Bar0>,
        lists: &Arc<ListPools>,
        pool: Option<&P2pPool>,
        layout: Layout,
    ) -> Result<Arc<Self>> {
        let Layout {
            qid,
            entries,
            stride,
        } = layout;
        let (tail, head) = registers::doorbells(qid);
        let ring = CompletionRing::new(dev.as_ref(), ctrl, qid, entries)?;
        let (sent, received) = faults::queue(qid, entries)?;
        let spread = qid != 0 && ctrl.quirks().contains(Quirks::SQES_128_BYTES);
        let doorbell = Doorbell::new(bar, tail, stride)?;
        let sq = SubmissionQueue::new(
            dev,
            pool,
            doorbell,
            entries,
            spread,
            ring.tail().clone(),
            sent,
        )?;
        let doorbell = Doorbell::new(bar, head, stride)?;
        let watch = ring.watch();
        let cq = CompletionQueue::new(ring, doorbell, received);

        Arc::pin_init(
            try_pin_init!(Self {
                qid,
                entries,
                sq_address: sq.address(),
                cq_address: cq.address(),
                enabled: Atomic::new(false),
                lists: lists.clone(),
                sq <- new_spinlock!(sq, "Queue::sq"),
                cq: IrqCell::new(cq)?,
                watch,
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the queues' id; 0 is the admin queue.
    pub(crate) fn qid(&self) -> u16 {
        self.qid
    }

    /// Returns the number of entries of each of the two queues.
    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// Returns the address of the submission queue for the device.
    pub(crate) fn sq_address(&self) -> DmaAddress {
        self.sq_address
    }

    /// Returns the address of the completion queue for the device.
    pub(crate) fn cq_address(&self) -> DmaAddress {
        self.cq_address
    }

    /// Returns whether the completion queue is polled. Sleeps.
    pub(crate) fn is_polled(&self) -> bool {
        self.cq.is_polled()
    }

    /// Returns whether the submission queue is in the controller's memory.
    pub(crate) fn is_in_cmb(&self) -> bool {
        self.sq.lock().is_in_cmb()
    }

    /// Gives memory of the controller back, if the submission queue is in it: the device cannot be
    /// unbound before. The queue must be disabled, and is not enabled again.
    pub(crate) fn give_back(&self) {
        self.sq.lock().give_back();
    }

    /// Empties both queues, which the controller is about to create: it expects them to be empty.
    pub(crate) fn clear(&self) -> Result {
        self.sq.lock().clear();
        self.cq.with(|cq| {
            let cleared = cq.clear();
            cq.lead(&self.watch);
            cleared
        })
    }

    /// Uses the doorbells in `shadow`, until the queues are emptied. The controller must have been given
    /// `shadow`. Sleeps. `EINVAL` if `shadow` has no doorbells for this queue.
    pub(crate) fn share_doorbells(&self, shadow: &ShadowDoorbells) -> Result {
        self.sq.lock().share_doorbell(shadow)?;
        self.cq.with(|cq| cq.share_doorbell(shadow))
    }

    /// Requests the interrupt and accepts commands. The controller has created the queue; the admin
    /// queue exists since the controller was enabled. Sleeps.
    pub(crate) fn enable(
        &self,
        ctrl: &Controller<T>,
        vectors: &Arc<Vectors>,
        vector: u32,
    ) -> Result {
        let name = CString::try_from_fmt(fmt!("nvme{}q{}", ctrl.instance(), self.qid))?;
        let threaded = parameters::use_threaded_interrupts.value() != 0;
        self.cq.request(vectors, vector, &name, threaded)?;
        self.enabled.store(true, Release);
        Ok(())
    }

    /// As [`Queue::enable`], for a queue without an interrupt: [`Queue::try_poll`] takes its
    /// completions.
    pub(crate) fn enable_polled(&self) -> Result {
        self.cq.start_polling()?;
        self.enabled.store(true, Release);
        Ok(())
    }

    /// Accepts no more commands, and frees the interrupt. Returns whether the queue was enabled. Sleeps.
    ///
    /// The block layer's queues must be quiesced, so that no submission is running when the memory is
    /// freed.
    pub(crate) fn disable(&self) -> bool {
        let was = self.enabled.xchg(false, Full);
        self.cq.free();
        was
    }

    /// Returns whether commands may be submitted.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// Puts `command`, which is no request's, in the submission queue, and then rings the doorbell.
    pub(crate) fn submit(&self, command: &Command) {
        let mut sq = self.sq.lock();
        sq.put(command);
        sq.commit();
    }

    /// Puts the command of `rq` in the submission queue. Then rings the doorbell if it is the `last`
    /// one for now.
    #[inline]
    pub(crate) fn send<'rq>(&self, rq: Started<'rq, T>, last: bool) -> Accepted<'rq> {
        let mut sq = self.sq.lock();
        let accepted = rq.send(|command| sq.put(command));
        if last {
            sq.commit();
        }
        accepted
    }

    /// Puts all of `commands` in the submission queue, and then rings the doorbell.
    #[inline]
    pub(crate) fn send_all(&self, commands: Commands<'_, T>) {
        let mut sq = self.sq.lock();
        commands.send(|command| sq.put(command));
        sq.commit();
    }

    /// Rings the doorbell if there are commands that the controller does not know yet.
    #[inline]
    pub(crate) fn commit(&self) {
        self.sq.lock().commit();
    }

    /// Takes the new completions, with the interrupt disabled meanwhile. Returns whether there was any.
    /// Sleeps.
    pub(crate) fn poll(&self) -> bool {
        self.cq.with(|cq| {
            let found = cq.process();
            cq.lead(&self.watch);
            found
        })
    }

    /// Takes the new completions of a polled queue, and adds their requests to `batch`. Does nothing if
    /// the queue has an interrupt, or if another thread is at it. Returns whether there was any.
    #[inline]
    pub(crate) fn try_poll(&self, batch: Batch<'_, T>) -> bool {
        // Most looks find nothing, and then need no lock.
        self.watch.has_news() && self.take_polled(batch)
    }

    #[inline(never)]
    fn take_polled(&self, batch: Batch<'_, T>) -> bool {
        let found = self.cq.poll(|cq| {
            let found = cq.collect(batch);
            cq.lead(&self.watch);
            found
        });
        found.unwrap_or(false)
    }
}

impl<T: Owner> Lender for Queue<T> {
    #[inline]
    fn lists(&self) -> &Arc<ListPools> {
        &self.lists
    }

    #[inline]
    fn is_admin(&self) -> bool {
        self.qid == 0
    }
}
