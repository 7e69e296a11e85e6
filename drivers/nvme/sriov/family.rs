// SPDX-License-Identifier: GPL-2.0

//! A physical function (PF) and its VFs, as each sees the others.
//!
//! Everything that the PF's controller is told about its VFs is told by one owner, the work item of
//! the [`Family`] (`owner`). Others leave a [`Job`] on the family's [`Desk`] and wait for the answer. The
//! controllers of VFs that this driver is bound to are members: when the PF's controller goes down,
//! their commands are ended, and they wait until their VF has been provisioned again.
//!
//! The desk's lock is never held while a command, a probe or another lock is waited for.

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
        Mutex, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work, //
    },
};
use kernel_ext::{
    nvme::{
        Controller,
        State, //
    },
    pci::{
        sriov::VirtualFunction,
        BusListener, //
    },
    workqueue::Spawner, //
};

/// A physical function and its VFs.
#[pin_data]
pub(crate) struct Family {
    pub(crate) pf: ARef<pci::Device>,
    /// The PF's controller, until it ends: it has a reference to the family in turn.
    #[pin]
    primary: Mutex<Option<ARef<Controller<Nvme>>>>,
    #[pin]
    pub(super) desk: Mutex<Desk>,
    /// Notified whenever something on the desk has changed that somebody may wait for.
    #[pin]
    pub(super) changed: CondVar,
    /// What the owner knows, and nobody else asks.
    #[pin]
    pub(super) actual: Mutex<Actual>,
    #[pin]
    work: Work<Family>,
    /// Hears of the VFs while they are enabled. Changed with the PCI rescan lock held.
    #[pin]
    pub(super) listener: Mutex<Option<BusListener<super::functions::Listener>>>,
    spawner: Spawner,
    /// Whether somebody else has told the controller something about its VFs.
    suspected: Atomic<bool>,
    /// Whether the driver is about to be unregistered.
    left: Atomic<bool>,
}

impl_has_work! {
    impl HasWork<Self> for Family { self.work }
}

impl Family {
    /// The family of `pf`, whose controller is as yet down.
    pub(crate) fn new(pf: &pci::Device, spawner: &Spawner) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                pf: pf.into(),
                primary <- new_mutex!(None, "Family::primary"),
                desk <- new_mutex!(Desk::new(), "Family::desk"),
                changed <- new_condvar!("Family::changed"),
                actual <- new_mutex!(Actual::default(), "Family::actual"),
                work <- new_work!("Family::work"),
                listener <- new_mutex!(None, "Family::listener"),
                spawner: spawner.clone(),
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

    /// The PF's controller. `None` once it has ended.
    pub(super) fn primary(&self) -> Option<ARef<Controller<Nvme>>> {
        self.primary.lock().clone()
    }

    /// Has the owner look at its desk.
    pub(super) fn call_owner(self: &Arc<Self>) {
        // If it is called already, it comes anyway.
        let _ = kernel_ext::nvme::work_queue().enqueue(self.clone());
    }

    // The primary controller.

    /// The PF's controller is about to be stopped.
    pub(crate) fn goes_down(&self) {
        let mut desk = self.desk.lock();
        desk.epoch = desk.epoch.wrapping_add(1);
        if desk.primary == Primary::Up {
            desk.primary = Primary::Down;
            self.changed.notify_all();
        }
    }

    /// The PF's controller is about to be started.
    pub(crate) fn starts(&self) {
        let mut desk = self.desk.lock();
        desk.started = desk.epoch;
    }

    /// The PF's controller is stopped: ends the commands of its VFs' controllers, which get no
    /// answer any more.
    pub(crate) fn is_down(self: &Arc<Self>) {
        if self.desk.lock().dependent {
            self.for_each_member(|_, ctrl| interrupt(ctrl));
        }
        // Jobs fail if it is down for good.
        self.call_owner();
    }

    /// The PF's controller, now stopped, is to be started by a callback of the PCI core that takes
    /// device locks; or no more.
    pub(crate) fn hold(&self, held: bool) {
        self.desk.lock().held = held;
        self.changed.notify_all();
    }

    /// The PF's controller is live again. Waits until its VFs are provisioned again, unless it goes
    /// down before; or has been, since [`Family::starts`].
    pub(crate) fn is_up(self: &Arc<Self>) {
        let mut desk = self.desk.lock();
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
            self.changed.wait(&mut desk);
        }
    }

    /// The PF's controller is given up, or its driver leaves it: whoever waits for it gives up.
    pub(crate) fn is_gone(self: &Arc<Self>) {
        let mut desk = self.desk.lock();
        desk.primary = Primary::Gone;
        desk.held = false;
        self.changed.notify_all();
        drop(desk);
        self.call_owner();
        self.for_each_member(|_, ctrl| {
            wake(ctrl);
        });
    }

    /// Ends the family: the PF's controller goes.
    pub(crate) fn end(self: &Arc<Self>) {
        self.is_gone();
        *self.primary.lock() = None;
    }

    /// Whether the PF's controller is down until a callback of the PCI core.
    pub(super) fn is_held(&self) -> bool {
        self.desk.lock().held
    }

    /// The driver is about to be unregistered: no VFs are to be enabled any more.
    pub(crate) fn set_left(&self) {
        self.left.store(true, Relaxed);
    }

    /// Whether the driver leaves the PF, or has left it.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Relaxed) || self.desk.lock().primary == Primary::Gone
    }

    /// Somebody else may have told the controller something about its VFs. Any context.
    pub(super) fn suspect(self: &Arc<Self>) {
        self.suspected.store(true, Relaxed);
        self.call_owner();
    }

    /// Whether that is so since this was asked last.
    pub(super) fn take_suspicion(&self) -> bool {
        self.suspected.xchg(false, Full)
    }

    /// Whether the PF's controller can be told anything.
    pub(super) fn is_served(&self) -> bool {
        self.desk.lock().primary == Primary::Up
    }

    // Jobs.

    /// Has the owner do `job`, and waits for its answer: beyond resets of the PF's controller, after
    /// which it is done again, and until that is given up.
    ///
    /// `ENODEV` if the PF's controller is gone, `EBUSY` as [`Patience`] says.
    pub(super) fn post(self: &Arc<Self>, job: Job, patience: Patience) -> Result<Answer> {
        let mut desk = self.desk.lock();
        let ticket = desk.next_ticket;
        desk.next_ticket = ticket.wrapping_add(1);
        desk.entries.push(
            Entry {
                ticket,
                job: Some(job),
                answer: None,
            },
            GFP_KERNEL,
        )?;
        self.call_owner();
        loop {
            if let Some(answer) = desk.take_answer(ticket) {
                return answer;
            }
            if patience == Patience::Locked && desk.held && desk.withdraw(ticket) {
                return Err(EBUSY);
            }
            self.changed.wait(&mut desk);
        }
    }

    // Members.

    /// Makes the controller of VF `vf` a member.
    pub(crate) fn join(&self, vf: u16, ctrl: &Controller<Nvme>) -> Result {
        self.desk.lock().members.push(
            Member {
                vf,
                ctrl: ctrl.into(),
                is_bound: false,
            },
            GFP_KERNEL,
        )?;
        Ok(())
    }

    /// The probe of member `ctrl` is over.
    pub(crate) fn is_bound(&self, ctrl: &Controller<Nvme>) {
        let mut desk = self.desk.lock();
        if let Some(member) = desk.members.iter_mut().find(|member| member.is(ctrl)) {
            member.is_bound = true;
        }
    }

    /// Undoes [`Family::join`].
    pub(crate) fn leave(&self, ctrl: &Controller<Nvme>) {
        let mut desk = self.desk.lock();
        let found = desk.members.iter().position(|member| member.is(ctrl));
        let member = found.and_then(|index| desk.members.remove(index).ok());
        drop(desk);
        // Perhaps the last reference.
        drop(member);
    }

    /// Whether the controller of VF `vf` can be started.
    pub(super) fn admission(&self, vf: u16) -> Admission {
        self.desk.lock().admission(vf)
    }

    /// Waits until the controller of VF `vf` can be started, or never will be. Gives up while the
    /// PF's controller is held down: the caller may hold a device lock.
    pub(crate) fn wait_for_primary(&self, vf: u16) {
        let mut desk = self.desk.lock();
        while desk.admission(vf) == Admission::Wait && !desk.held {
            self.changed.wait(&mut desk);
        }
    }

    /// Notes what became of VF `vf`, and wakes its controller.
    pub(super) fn note(&self, vf: u16, standing: Standing) -> Result {
        let mut desk = self.desk.lock();
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
                self.revive(ctrl, standing);
            }
        });
        Ok(())
    }

    /// The controller of VF `vf` is live: the device may have attached namespaces to it by itself.
    pub(super) fn is_live(self: &Arc<Self>, vf: u16) {
        if let Some(live) = self.desk.lock().live.get_mut(usize::from(vf)) {
            *live = true;
        }
        self.suspect();
    }

    /// The VFs whose controllers have been live since they are there.
    pub(super) fn live(&self) -> Result<KVec<u16>> {
        let desk = self.desk.lock();
        let mut live = KVec::with_capacity(desk.live.len(), GFP_KERNEL)?;
        for (vf, _) in (0u16..).zip(&desk.live).filter(|(_, live)| **live) {
            live.push(vf, GFP_KERNEL)?;
        }
        Ok(live)
    }

    /// Has the function of a VF that is online, but whose controller was given up, probed anew.
    fn revive(&self, ctrl: &Controller<Nvme>, standing: Standing) {
        if !matches!(standing, Standing::Online(_)) {
            return;
        }
        let dead: ARef<Controller<Nvme>> = ctrl.into();
        // Without memory, it stays dead until somebody binds it anew.
        let _ = self.spawner.spawn(move || {
            if dead.data().is_ended() {
                return;
            }
            dev_info!(dead.device(), "the VF is online again: it is probed anew\n");
            if let Err(e) = dead.data().pdev.reprobe() {
                dev_err!(dead.device(), "the VF cannot be probed anew: {e:?}\n");
            }
        });
    }

    /// Ends the controllers of all bound VFs, side by side, as their drivers are taken away next.
    pub(super) fn end_members(&self) {
        let mut from = 0;
        while let Some((vf, ctrl, is_bound)) = self.member(from) {
            if is_bound {
                // Without memory, it is ended when its driver is taken away.
                let _ = self.spawner.spawn(move || lifecycle::teardown(&ctrl));
            }
            let Some(next) = vf.checked_add(1) else {
                return;
            };
            from = next;
        }
    }

    /// Calls `f` with each member, without a lock. One that joins meanwhile may be left out.
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

    /// The member with the lowest number from `from` on, and whether its probe is over. There is no
    /// list of them, which would take memory that a reset must do without.
    fn member(&self, from: u16) -> Option<(u16, ARef<Controller<Nvme>>, bool)> {
        let desk = self.desk.lock();
        let later = desk.members.iter().filter(|member| member.vf >= from);
        let next = later.min_by_key(|member| member.vf)?;
        Some((next.vf, next.ctrl.clone(), next.is_bound))
    }
}

/// Ends what the controller of a VF has under way: its PF's controller is down.
fn interrupt(ctrl: &Controller<Nvme>) {
    if ctrl.change_state(State::Resetting) {
        // The reset stops it first, and then waits for its PF.
        ctrl.queue_reset();
        return;
    }
    match ctrl.state() {
        // A probe or a reset finds out when its command is ended, or before the next one.
        State::Connecting => stop::interrupt(ctrl),
        State::Deleting | State::DeletingNoIo => stop::stop(ctrl, true),
        _ => {}
    }
}

/// Has the controller of a VF that waits for its PF go on. `false` if it does not wait.
fn wake(ctrl: &Controller<Nvme>) -> bool {
    let woken = ctrl.data().take_idle(Idle::ForPrimary);
    if woken {
        ctrl.queue_reset();
    }
    woken
}
