// SPDX-License-Identifier: GPL-2.0

//! The desk of a PF's family: what is wanted of the VFs, and what is known of them.
//!
//! These are data under one lock, `Family::desk`. Nothing here waits for anything or takes a lock.

use super::{
    setting::Settings,
    share::Share,
    view::View, //
};
use crate::{
    controller::Nvme,
    spec::virtualization::Resource, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};
use kernel_ext::nvme::Controller;

/// Whether the primary controller takes commands about VFs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Primary {
    /// Yes: it has been started, and not been stopped since.
    Up,
    /// No: it is stopped, and will be started again or given up.
    Down,
    /// Never again: it has been given up, or its driver is being unbound.
    Gone,
}

/// Whether a VF has been provisioned. Only the current epoch counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Offline,
    /// The owner has brought the VF online in this epoch.
    Online(u32),
    /// The controller has refused to provision the VF in this epoch.
    Refused(u32),
}

/// Whether a VF's controller can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes: the VF is online, in this epoch.
    Served(u32),
    /// Not yet: the PF's controller is down, or has not brought the VF online yet.
    Wait,
    /// No: the VF will not come online.
    Refused,
}

/// A VF's controller that this driver is bound to.
pub(super) struct Member {
    pub(super) vf: u16,
    pub(super) ctrl: ARef<Controller<Nvme>>,
    /// Whether the probe of its function has succeeded.
    pub(super) is_bound: bool,
}

/// A job and its answer.
pub(super) struct Entry {
    pub(super) ticket: u64,
    /// `None` while the owner does it, and afterwards.
    pub(super) job: Option<Job>,
    pub(super) answer: Option<Result<Answer>>,
    /// Whether a thread waits for the answer.
    pub(super) is_awaited: bool,
}

/// What is wanted of the VFs, and what is known of them.
pub(super) struct Desk {
    pub(super) primary: Primary,
    /// Whether only a callback of the PCI core, which takes device locks, starts the primary controller
    /// again: a thread that holds a device lock must not wait for that.
    pub(super) held: bool,
    /// Incremented whenever the primary controller is stopped, even if it is down already.
    pub(super) epoch: u32,
    /// The epoch in which the last start of the primary controller began. If it is not the current one
    /// when the controller is live, another thread has stopped the controller meanwhile, and starts it
    /// again.
    pub(super) started: u32,
    /// The epoch in which the VFs were provisioned last.
    pub(super) restored: Option<u32>,
    /// Whether the VFs use resources of the primary controller, and go down with it.
    pub(super) dependent: bool,
    /// Whether the view may be out of date.
    pub(super) is_stale: bool,
    pub(super) settings: Settings,
    pub(super) view: View,
    /// By VF, from 0.
    pub(super) standings: KVec<Standing>,
    /// By VF, whether its controller has been live since the VF was enabled. Then the device has attached
    /// the namespaces that it attaches by itself.
    pub(super) live: KVec<bool>,
    pub(super) members: KVec<Member>,
    pub(super) entries: KVec<Entry>,
    pub(super) next_ticket: u64,
}

/// A job for the owner.
pub(super) enum Job {
    /// Divide the resources among the first `vfs` VFs, which are not enabled, and assign them.
    Prepare {
        vfs: u16,
        /// Whether the PF has given back what it could.
        gave_back: bool,
    },
    /// The VF has joined the bus: attach its namespaces and bring it online.
    Online(u16),
    /// The VF leaves the bus, and has no driver any more: detach its namespaces.
    Retire(u16),
    /// All VFs have left the bus: take their resources back.
    Release,
    /// Set the number of resources of one kind of a VF.
    Share {
        vf: u16,
        kind: Resource,
        count: u16,
        /// Whether the VF's device lock is held, and the VF has no driver.
        is_unused: bool,
    },
    /// Read what the controller has, for sysfs.
    Look,
    /// Set the namespaces of a VF.
    Namespaces { vf: u16, nsids: KVec<u32> },
}

/// The answer to a job that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// [`Job::Prepare`]: the smallest and the largest share that a VF has.
    Prepared {
        least: Share,
        most: Share,
    },
    /// [`Job::Prepare`]: the VFs have resources of their own.
    Independent,
    /// [`Job::Prepare`]: the PF gives resources back, which takes effect when its function is reset.
    WantsFunctionReset,
}

/// How long a thread waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until the answer comes. The thread holds no device lock.
    Any,
    /// Until the answer comes, or [`Desk::held`] is set and the job has not begun: then `EBUSY`, with
    /// nothing changed. The thread holds a device lock.
    Locked,
    /// Until the answer comes, or [`Desk::held`] is set and the job is not being done: then the owner
    /// does it later, before the jobs that are posted next. The thread may hold a device lock.
    Leave,
}

impl Member {
    pub(super) fn is(&self, ctrl: &Controller<Nvme>) -> bool {
        core::ptr::eq::<Controller<Nvme>>(&*self.ctrl, ctrl)
    }
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            primary: Primary::Down,
            held: false,
            epoch: 0,
            started: 0,
            restored: None,
            dependent: false,
            is_stale: true,
            settings: Settings::default(),
            view: View::default(),
            standings: KVec::new(),
            live: KVec::new(),
            members: KVec::new(),
            entries: KVec::new(),
            next_ticket: 0,
        }
    }

    fn standing(&self, vf: u16) -> Standing {
        self.standings
            .get(usize::from(vf))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn admission(&self, vf: u16) -> Admission {
        if !self.dependent {
            return Admission::Served(0);
        }
        match (self.primary, self.standing(vf)) {
            (Primary::Gone, _) => Admission::Refused,
            (Primary::Up, Standing::Online(epoch)) if epoch == self.epoch => {
                Admission::Served(epoch)
            }
            (Primary::Up, Standing::Refused(epoch)) if epoch == self.epoch => Admission::Refused,
            _ => Admission::Wait,
        }
    }

    /// Returns whether VF `vf` is online, as far as is known.
    pub(super) fn is_online(&self, vf: u16) -> bool {
        let seen = self.view.secondary(vf).is_some_and(|s| s.is_online());
        seen && self.primary == Primary::Up && !self.is_awaited()
    }

    /// Returns whether the VFs have not been provisioned in this epoch yet.
    fn is_awaited(&self) -> bool {
        self.dependent && self.restored != Some(self.epoch)
    }

    /// Takes the first job that has not begun.
    pub(super) fn take_job(&mut self) -> Option<(u64, Job)> {
        let waiting = |entry: &&mut Entry| entry.job.is_some();
        let entry = self.entries.iter_mut().find(waiting)?;
        entry.job.take().map(|job| (entry.ticket, job))
    }

    /// Puts a job back, which is done again, before later ones.
    pub(super) fn put_back(&mut self, ticket: u64, job: Job) {
        if let Some(entry) = self.entries.iter_mut().find(|e| e.ticket == ticket) {
            entry.job = Some(job);
        }
    }

    /// Notes the answer to job `ticket`, if somebody waits for it.
    pub(super) fn answer(&mut self, ticket: u64, answer: Result<Answer>) {
        let Some(index) = self.entries.iter().position(|e| e.ticket == ticket) else {
            return;
        };
        match self.entries.get_mut(index) {
            Some(entry) if entry.is_awaited => entry.answer = Some(answer),
            _ => drop(self.entries.remove(index)),
        }
    }

    pub(super) fn take_answer(&mut self, ticket: u64) -> Option<Result<Answer>> {
        let index = self.entries.iter().position(|e| e.ticket == ticket)?;
        self.entries.get(index)?.answer.as_ref()?;
        self.entries.remove(index).ok()?.answer
    }

    /// Removes job `ticket`. Returns `false` if the owner has begun it.
    fn withdraw(&mut self, ticket: u64) -> bool {
        let waiting = |entry: &Entry| entry.ticket == ticket && entry.job.is_some();
        match self.entries.iter().position(waiting) {
            Some(index) => self.entries.remove(index).is_ok(),
            None => false,
        }
    }

    /// Leaves job `ticket` to the owner, and nobody waits for the answer. Returns `false` if the owner
    /// has begun it.
    fn leave(&mut self, ticket: u64) -> bool {
        let waiting = |entry: &&mut Entry| entry.ticket == ticket && entry.job.is_some();
        match self.entries.iter_mut().find(waiting) {
            Some(entry) => {
                entry.is_awaited = false;
                true
            }
            None => false,
        }
    }

    /// Ends the wait for the answer to job `ticket`, if [`Desk::held`] is set and `patience` is at an end
    /// with that. Returns what the thread gets instead.
    pub(super) fn give_up(&mut self, ticket: u64, patience: Patience) -> Option<Result<Answer>> {
        match patience {
            Patience::Locked if self.held && self.withdraw(ticket) => Some(Err(EBUSY)),
            Patience::Leave if self.held && self.leave(ticket) => Some(Ok(Answer::Done)),
            _ => None,
        }
    }

    /// Returns whether VF `vf` has left the bus, and the owner has not begun to retire it.
    pub(super) fn is_leaving(&self, vf: u16) -> bool {
        self.entries.iter().any(|entry| match entry.job {
            Some(Job::Retire(leaving)) => leaving == vf,
            Some(Job::Release) => true,
            _ => false,
        })
    }
}
