// SPDX-License-Identifier: GPL-2.0

//! A physical function (PF) and its VFs.
//!
//! All commands about VFs are sent by one owner, the work item of the [`Family`] (`owner`). Others leave
//! a [`Job`] on the family's [`Desk`] and wait for the answer. The controllers of VFs that this driver is
//! bound to are members: when the PF's controller goes down, their commands are cancelled, and they wait
//! until their VF has been provisioned again.
//!
//! All of this sleeps but for [`Family::suspect`]. The desk's lock is held for moments only; as timeouts
//! of commands take it, no I/O may be waited for with it held.

use super::{
    actual::Actual,
    desk::{
        Admission,
        Answer,
        Desk,
        Entry,
        Job,
        Member,
        Patience,
        Primary,
        Standing, //
    }, //
};
use crate::{
    control::{
        lifecycle,
        stop, //
    }, //
    controller::{
        Idle,
        Nvme, //
    },
};
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::{
    new_condvar, new_mutex, pci,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        CondVar,
        Mutex,
        MutexGuard, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work, //
    },
};
use kernel_ext::{
    alloc::NoIo,
    nvme::{
        Controller,
        State, //
    },
    pci::BusListener, //
};

/// A physical function and its VFs.
#[pin_data]
pub(crate) struct Family {
    pub(crate) pf: ARef<pci::Device>,
    /// The PF's controller, until it is torn down: it holds a reference to the family in turn.
    #[pin]
    primary: Mutex<Option<ARef<Controller<Nvme>>>>,
    /// Locked by [`Family::desk`].
    #[pin]
    desk: Mutex<Desk>,
    /// Notified whenever something on the desk has changed that a thread may wait for.
    #[pin]
    pub(super) changed: CondVar,
    /// What the owner knows. Only the owner takes this lock.
    #[pin]
    pub(super) actual: Mutex<Actual>,
    #[pin]
    work: Work<Family>,
    /// The listener for VFs on the bus, while VFs are enabled. Changed with the PCI rescan lock held.
    #[pin]
    pub(super) listener: Mutex<Option<BusListener<super::functions::Listener>>>,
    /// Whether a user's command may have changed what the VFs have.
    suspected: Atomic<bool>,
    /// Whether the driver is about to be unregistered.
    left: Atomic<bool>,
}

impl_has_work! {
    impl HasWork<Self> for Family { self.work }
}

impl Family {
    /// Creates the family of `pf`, whose controller has not been started.
    pub(crate) fn new(pf: &pci::Device) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                pf: pf.into(),
                primary <- new_mutex!(None, "Family::primary"),
                desk <- new_mutex!(Desk::new(), "Family::desk"),
                changed <- new_condvar!("Family::changed"),
                actual <- new_mutex!(Actual::default(), "Family::actual"),
                work <- new_work!("Family::work"),
                listener <- new_mutex!(None, "Family::listener"),
                suspected: Atomic::new(false),
                left: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Notes the PF's controller.
    pub(crate) fn set_primary(&self, ctrl: &Controller<Nvme>) {
        *self.primary.lock() = Some(ctrl.into());
    }

    /// Returns the PF's controller; `None` after its teardown.
    pub(super) fn primary(&self) -> Option<ARef<Controller<Nvme>>> {
        self.primary.lock().clone()
    }

    /// Locks the desk.
    pub(super) fn desk(&self) -> DeskGuard<'_> {
        let scope = NoIo::new();
        DeskGuard {
            guard: self.desk.lock(),
            _scope: scope,
        }
    }

    /// Queues the owner's work. Any context.
    pub(super) fn call_owner(self: &Arc<Self>) {
        // It fails only if the work is queued already.
        let _ = kernel_ext::nvme::work_queue().enqueue(self.clone());
    }

    // The primary controller.

    /// Begins a new epoch: the PF's controller is about to be stopped.
    pub(crate) fn goes_down(&self) {
        let mut desk = self.desk();
        desk.epoch = desk.epoch.wrapping_add(1);
        if desk.primary == Primary::Up {
            desk.primary = Primary::Down;
            self.changed.notify_all();
        }
    }

    /// Notes the epoch in which a start of the PF's controller begins.
    pub(crate) fn starts(&self) {
        let mut desk = self.desk();
        desk.started = desk.epoch;
    }

    /// Cancels the commands of the VFs' controllers: the PF's controller has been stopped, and they get
    /// no answers any more.
    pub(crate) fn is_down(self: &Arc<Self>) {
        if self.desk().dependent {
            self.for_each_member(|_, ctrl| interrupt(ctrl));
        }
        // The owner answers all jobs with an error if the controller is not started again.
        self.call_owner();
    }

    /// Sets [`Desk::held`].
    pub(crate) fn hold(&self, held: bool) {
        self.desk().held = held;
        self.changed.notify_all();
    }

    /// Marks the PF's controller as up, which is live again, and waits until its VFs have been
    /// provisioned, or it goes down. Does nothing if it was stopped after [`Family::starts`].
    pub(crate) fn is_up(self: &Arc<Self>) {
        let mut desk = self.desk();
        if desk.primary == Primary::Gone || desk.started != desk.epoch {
            return;
        }
        desk.primary = Primary::Up;
        desk.held = false;
        desk.is_stale = true;
        let epoch = desk.epoch;
        self.call_owner();
        while desk.primary == Primary::Up
            && desk.epoch == epoch
            && (desk.is_stale || desk.restored != Some(epoch))
        {
            self.changed.wait(&mut desk.guard);
        }
    }

    /// Marks the PF's controller as gone: it has been given up, or its driver is being unbound. All that
    /// wait for it give up.
    pub(crate) fn is_gone(self: &Arc<Self>) {
        let mut desk = self.desk();
        desk.primary = Primary::Gone;
        desk.held = false;
        self.changed.notify_all();
        drop(desk);
        self.call_owner();
        self.for_each_member(|_, ctrl| {
            wake(ctrl);
        });
    }

    /// Ends the family, as the PF's controller is torn down.
    pub(crate) fn end(self: &Arc<Self>) {
        self.is_gone();
        *self.primary.lock() = None;
    }

    /// Returns [`Desk::held`].
    pub(super) fn is_held(&self) -> bool {
        self.desk().held
    }

    /// Notes that the driver is about to be unregistered: no VFs are enabled any more.
    pub(crate) fn set_left(&self) {
        self.left.store(true, Relaxed);
    }

    /// Returns whether the driver is being unregistered or unbound, or the PF's controller is given up.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Relaxed) || self.desk().primary == Primary::Gone
    }

    /// Notes that a user's command, or the device itself, may have changed what the VFs have. Any
    /// context.
    pub(super) fn suspect(self: &Arc<Self>) {
        self.suspected.store(true, Relaxed);
        self.call_owner();
    }

    /// Returns whether [`Family::suspect`] was called since the last call of this function.
    pub(super) fn take_suspicion(&self) -> bool {
        self.suspected.xchg(false, Full)
    }

    /// Returns whether the PF's controller takes commands about VFs.
    pub(super) fn is_served(&self) -> bool {
        self.desk().primary == Primary::Up
    }

    // Jobs.

    /// Has the owner do `job`, and waits for the answer. A reset of the PF's controller does not end the
    /// wait: the job is done again after it.
    ///
    /// `ENODEV` if the PF's controller is given up, `EBUSY` as described at [`Patience`].
    pub(super) fn post(self: &Arc<Self>, job: Job, patience: Patience) -> Result<Answer> {
        let mut desk = self.desk();
        let ticket = desk.next_ticket;
        desk.next_ticket = ticket.wrapping_add(1);
        desk.entries.push(
            Entry {
                ticket,
                job: Some(job),
                answer: None,
                is_awaited: true,
            },
            GFP_KERNEL,
        )?;
        self.call_owner();
        loop {
            if let Some(answer) = desk.take_answer(ticket) {
                return answer;
            }
            if let Some(result) = desk.give_up(ticket, patience) {
                return result;
            }
            self.changed.wait(&mut desk.guard);
        }
    }

    // Members.

    /// Makes the controller of VF `vf` a member.
    pub(crate) fn join(&self, vf: u16, ctrl: &Controller<Nvme>) -> Result {
        self.desk().members.push(
            Member {
                vf,
                ctrl: ctrl.into(),
                is_bound: false,
            },
            GFP_KERNEL,
        )?;
        Ok(())
    }

    /// Notes that the probe of member `ctrl` has succeeded.
    pub(crate) fn is_bound(&self, ctrl: &Controller<Nvme>) {
        let mut desk = self.desk();
        if let Some(member) = desk.members.iter_mut().find(|member| member.is(ctrl)) {
            member.is_bound = true;
        }
    }

    /// Undoes [`Family::join`].
    pub(crate) fn leave(&self, ctrl: &Controller<Nvme>) {
        let mut desk = self.desk();
        let found = desk.members.iter().position(|member| member.is(ctrl));
        let member = found.and_then(|index| desk.members.remove(index).ok());
        drop(desk);
        // Without the lock: it may be the last reference.
        drop(member);
    }

    /// Returns whether the controller of VF `vf` can be started.
    pub(super) fn admission(&self, vf: u16) -> Admission {
        self.desk().admission(vf)
    }

    /// Waits until it is settled whether the controller of VF `vf` can be started. Does not wait while
    /// [`Desk::held`] is set, as the caller may hold a device lock.
    pub(crate) fn wait_for_primary(&self, vf: u16) {
        let mut desk = self.desk();
        while desk.admission(vf) == Admission::Wait && !desk.held {
            self.changed.wait(&mut desk.guard);
        }
    }

    /// Notes whether VF `vf` has been provisioned, and wakes its controller.
    pub(super) fn note(&self, vf: u16, standing: Standing) -> Result {
        let mut desk = self.desk();
        let index = usize::from(vf);
        while desk.standings.len() <= index {
            desk.standings.push(Standing::Offline, GFP_KERNEL)?;
        }
        while desk.live.len() <= index {
            desk.live.push(false, GFP_KERNEL)?;
        }
        if let Some(entry) = desk.standings.get_mut(index) {
            *entry = standing;
        }
        if let (Standing::Offline, Some(live)) = (standing, desk.live.get_mut(index)) {
            *live = false;
        }
        self.changed.notify_all();
        drop(desk);
        if standing == Standing::Offline {
            return Ok(());
        }
        self.for_each_member(|member, ctrl| {
            if member == vf && !wake(ctrl) && ctrl.state() == State::Dead {
                Self::revive(ctrl, standing);
            }
        });
        Ok(())
    }

    /// Notes that the controller of VF `vf` is live: the device may have attached namespaces by itself.
    pub(super) fn is_live(self: &Arc<Self>, vf: u16) {
        if let Some(live) = self.desk().live.get_mut(usize::from(vf)) {
            *live = true;
        }
        self.suspect();
    }

    /// Returns the VFs whose controllers have been live since the VFs were enabled.
    pub(super) fn live(&self) -> Result<KVec<u16>> {
        let desk = self.desk();
        let mut live = KVec::with_capacity(desk.live.len(), GFP_KERNEL)?;
        for (vf, _) in (0..=u16::MAX).zip(&desk.live).filter(|(_, live)| **live) {
            live.push(vf, GFP_KERNEL)?;
        }
        Ok(live)
    }

    /// Has the function of a VF probed anew, whose controller was given up, if the VF is online now.
    fn revive(ctrl: &Controller<Nvme>, standing: Standing) {
        if !matches!(standing, Standing::Online(_)) {
            return;
        }
        dev_info!(ctrl.device(), "the VF is online again: it is probed anew\n");
        lifecycle::probe_anew(ctrl);
    }

    /// Begins the teardown of the controllers of all bound VFs, at the same time: their drivers are
    /// unbound next, one after the other.
    pub(super) fn end_members(&self) {
        let mut from = 0;
        while let Some((vf, ctrl, is_bound)) = self.member(from) {
            if is_bound {
                // Without memory, the controller is torn down when its driver is unbound.
                let spawner = ctrl.data().spawner.clone();
                let _ = spawner.spawn(move || lifecycle::teardown(&ctrl));
            }
            let Some(next) = vf.checked_add(1) else {
                return;
            };
            from = next;
        }
    }

    /// Calls `f` with each member, without a lock held. A member that joins meanwhile may be left out.
    fn for_each_member(&self, mut f: impl FnMut(u16, &Controller<Nvme>)) {
        let mut from = 0;
        while let Some((vf, ctrl, _)) = self.member(from) {
            f(vf, &ctrl);
            let Some(next) = vf.checked_add(1) else {
                return;
            };
            from = next;
        }
    }

    /// Returns the member with the lowest number from `from` on, and whether its probe has succeeded. A
    /// copy of the list would have to be allocated, which a reset must not do.
    fn member(&self, from: u16) -> Option<(u16, ARef<Controller<Nvme>>, bool)> {
        let desk = self.desk();
        let later = desk.members.iter().filter(|member| member.vf >= from);
        let next = later.min_by_key(|member| member.vf)?;
        Some((next.vf, next.ctrl.clone(), next.is_bound))
    }
}

/// The lock of a desk. What is allocated while it is held frees no memory by I/O: that might be I/O of a
/// VF whose command has timed out, and its timeout waits for this lock.
pub(super) struct DeskGuard<'a> {
    guard: MutexGuard<'a, Desk>,
    // Dropped after the lock.
    _scope: NoIo,
}

impl Deref for DeskGuard<'_> {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.guard
    }
}

impl DerefMut for DeskGuard<'_> {
    fn deref_mut(&mut self) -> &mut Desk {
        &mut self.guard
    }
}

/// Cancels the commands of a VF's controller, whose PF's controller is down.
fn interrupt(ctrl: &Controller<Nvme>) {
    if ctrl.change_state(State::Resetting) {
        // The reset begins with a stop, and then waits for the PF.
        ctrl.queue_reset();
        return;
    }
    match ctrl.state() {
        // The probe or reset notices when its command is cancelled, or before it sends the next one.
        State::Connecting => stop::interrupt(ctrl),
        State::Deleting | State::DeletingNoIo => stop::stop(ctrl, true),
        _ => {}
    }
}

/// Resets the controller of a VF if it waits for its PF. Returns whether it does.
fn wake(ctrl: &Controller<Nvme>) -> bool {
    let woken = ctrl.data().take_idle(Idle::ForPrimary);
    if woken {
        ctrl.queue_reset();
    }
    woken
}
