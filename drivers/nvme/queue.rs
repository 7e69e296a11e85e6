// SPDX-License-Identifier: GPL-2.0

//! A queue pair: commands go out through [`submission`], and come back through [`completion`].
//!
//! Commands and completions pass without a look at what they are for. Submitting and completing
//! happens in any context; all else sleeps. The queues know of no controller but by the trait
//! [`Owner`].

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
    data::lists::ListPools,
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
        Batch,
        Command,
        Controller,
        QueueTags,
        Quirks, //
    },
    pci::{
        irq::{
            IrqCell,
            Vectors, //
        },
        P2pPool, //
    },
};

/// Which queue pair it is, and where its doorbells are.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// The queues' id; 0 is the admin queue.
    pub(crate) qid: u16,
    /// How many entries each of the two has.
    pub(crate) entries: u16,
    /// How far doorbells are apart, in bytes.
    pub(crate) stride: usize,
}

/// A submission queue and the completion queue of the same id.
///
/// The memory is the queue's for as long as the device is bound; the controller knows of it from
/// [`Queue::enable`] to the next time that it is disabled.
#[pin_data]
pub(crate) struct Queue<T: Owner> {
    qid: u16,
    entries: u16,
    sq_address: DmaAddress,
    cq_address: DmaAddress,
    /// Whether commands may be submitted. Set while the controller has the queue.
    enabled: Atomic<bool>,
    /// Where the lists of the queue's commands come from.
    lists: Arc<ListPools>,
    /// Taken with nothing else held but the block layer's own locks.
    #[pin]
    sq: SpinLock<SubmissionQueue>,
    cq: IrqCell<CompletionQueue<T>>,
}

impl<T: Owner> Queue<T> {
    /// Allocates a queue pair as `layout` has it. The submission queue is in the memory of `pool`, if
    /// that has room.
    ///
    /// `ENOMEM` without memory, `EINVAL` if the doorbells are beyond the end of the BAR, `EBUSY`
    /// if the controller has a queue of this id.
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
        let tags = QueueTags::take(ctrl, qid)?;
        let (sent, received) = faults::queue(qid, entries)?;
        let spread = qid != 0 && ctrl.quirks().contains(Quirks::SQES_128_BYTES);
        let doorbell = Doorbell::new(bar, tail, stride)?;
        let sq = SubmissionQueue::new(
            dev,
            pool,
            doorbell,
            entries,
            spread,
            tags.tail().clone(),
            sent,
        )?;
        let doorbell = Doorbell::new(bar, head, stride)?;
        let cq = CompletionQueue::new(dev, doorbell, entries, tags, received)?;

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
            }),
            GFP_KERNEL,
        )
    }

    /// The queue's id; 0 is the admin queue.
    pub(crate) fn qid(&self) -> u16 {
        self.qid
    }

    /// How many entries each of the two queues has.
    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    /// Where the device finds the submission queue.
    pub(crate) fn sq_address(&self) -> DmaAddress {
        self.sq_address
    }

    /// Where the device finds the completion queue.
    pub(crate) fn cq_address(&self) -> DmaAddress {
        self.cq_address
    }

    /// The pools of the queue's lists.
    #[inline]
    pub(crate) fn lists(&self) -> &Arc<ListPools> {
        &self.lists
    }

    /// Whether completions are polled for. Sleeps.
    pub(crate) fn is_polled(&self) -> bool {
        self.cq.is_polled()
    }

    /// Whether the submission queue is in the controller's memory.
    pub(crate) fn is_in_cmb(&self) -> bool {
        self.sq.lock().is_in_cmb()
    }

    /// Gives back what the queue has of the controller's memory, without which the device cannot
    /// be unbound. The queue is disabled, for good.
    pub(crate) fn give_back(&self) {
        self.sq.lock().give_back();
    }

    /// Empties both queues, as a controller that has just got them sees them.
    pub(crate) fn clear(&self) -> Result {
        self.sq.lock().clear();
        self.cq.with(CompletionQueue::clear)
    }

    /// Tells the controller through `shadow` from now on, which it knows of, until the queues are
    /// emptied. Sleeps.
    pub(crate) fn share_doorbells(&self, shadow: &Arc<ShadowDoorbells>) {
        self.sq.lock().share_doorbell(shadow);
        self.cq.with(|cq| cq.share_doorbell(shadow));
    }

    /// Takes commands and interrupts from now on; the controller has the queue, or is about to.
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

    /// As [`Queue::enable`], but the controller sends no interrupts: [`Queue::try_poll`] completes
    /// what it has completed.
    pub(crate) fn enable_polled(&self) -> Result {
        self.cq.start_polling()?;
        self.enabled.store(true, Release);
        Ok(())
    }

    /// Takes no more commands, and no more interrupts. Returns whether it did before. Sleeps.
    ///
    /// The block layer must have been quiesced, so that no submission is under way when the
    /// memory goes.
    pub(crate) fn disable(&self) -> bool {
        let was = self.enabled.xchg(false, Full);
        self.cq.free();
        was
    }

    /// Whether commands may be submitted.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// Puts `command` in the submission queue. Tells the controller now if `last`, or if the
    /// queue is full.
    #[inline]
    pub(crate) fn submit(&self, command: Command, last: bool) {
        self.sq.lock().submit(command, last);
    }

    /// Puts all of `commands` in the submission queue, and tells the controller once.
    #[inline]
    pub(crate) fn submit_all(&self, commands: impl Iterator<Item = Command>) {
        let mut sq = self.sq.lock();
        for command in commands {
            sq.submit(command, false);
        }
        sq.commit();
    }

    /// Tells the controller of the commands that it has not been told of.
    #[inline]
    pub(crate) fn commit(&self) {
        self.sq.lock().commit();
    }

    /// Completes what the controller has completed, without its interrupt. Sleeps.
    pub(crate) fn poll(&self) -> bool {
        self.cq.with(CompletionQueue::process)
    }

    /// Completes what the controller has completed, with the requests of `batch`, if the queue has
    /// no interrupt and nobody else is doing so.
    #[inline]
    pub(crate) fn try_poll(&self, batch: &mut Batch<'_, T>) -> bool {
        self.cq.poll(|cq| cq.collect(batch)).unwrap_or(false)
    }
}
