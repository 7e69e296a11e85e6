// SPDX-License-Identifier: GPL-2.0

//! The desk of a PF's family: what is wanted, and what others are to know of what there is.
//!
//! Data under one lock, which `family` has. Nothing here waits, or takes a lock.

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

/// Whether the primary controller can be told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Primary {
    /// It is started, and has as yet not been stopped again.
    Up,
    /// It is stopped, and will be started again, or given up.
    Down,
    /// It is given up, or its driver leaves it.
    Gone,
}

/// Whether a VF has been provisioned; what an earlier epoch says does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Offline,
    /// Online since this epoch.
    Online(u32),
    /// The controller has refused to provision it in this epoch.
    Refused(u32),
}

/// Whether a VF's controller can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The VF is online; `0` counts the times that the PF's controller went down.
    Served(u32),
    /// The PF's controller is down, or about to bring the VF online.
    Wait,
    /// The VF will not come online.
    Refused,
}

/// A VF's controller that this driver drives.
pub(super) struct Member {
    pub(super) vf: u16,
    pub(super) ctrl: ARef<Controller<Nvme>>,
    /// Whether its probe is over.
    pub(super) is_bound: bool,
}

/// A job, and what became of it.
pub(super) struct Entry {
    pub(super) ticket: u64,
    /// `None` while the owner has it.
    pub(super) job: Option<Job>,
    pub(super) answer: Option<Result<Answer>>,
}

/// What is wanted, and what others are to know of what there is.
pub(super) struct Desk {
    pub(super) primary: Primary,
    /// Whether the primary controller is down until a callback of the PCI core, which takes device
    /// locks: who holds one must not wait for it.
    pub(super) held: bool,
    /// Counted up whenever the primary controller is stopped, also if it is not up.
    pub(super) epoch: u32,
    /// The epoch in which the primary controller was started last. If another one has begun when it
    /// is live, somebody has stopped it on the way, and starts it again.
    pub(super) started: u32,
    /// The epoch in which the VFs were provisioned last.
    pub(super) restored: Option<u32>,
    /// Whether the VFs live on resources of the primary controller's, and go down with it.
    pub(super) dependent: bool,
    /// Whether the view may be out of date.
    pub(super) is_stale: bool,
    pub(super) settings: Settings,
    pub(super) view: View,
    /// By VF, from 0.
    pub(super) standings: KVec<Standing>,
    /// By VF, whether its controller has been live since the VF is there. Then it has what the device
    /// itself attaches to every controller.
    pub(super) live: KVec<bool>,
    pub(super) members: KVec<Member>,
    pub(super) entries: KVec<Entry>,
    pub(super) next_ticket: u64,
}

/// Something that the owner is to do.
pub(super) enum Job {
    /// Share the resources out to the first `vfs` VFs, which are not enabled.
    Prepare {
        vfs: u16,
        /// Whether the PF has given back what it could.
        gave_back: bool,
    },
    /// VF has been enabled: attach its namespaces and bring it online.
    Online(u16),
    /// VF has lost its driver, and is about to go: undo [`Job::Online`].
    Retire(u16),
    /// The VFs are gone: take back what they have.
    Release,
    /// Change how many resources of a kind VF is to have.
    Share {
        vf: u16,
        kind: Resource,
        count: u16,
        /// Whether the VF's device lock is held, and it has no driver.
        is_unused: bool,
    },
    /// Look what the controller has.
    Look,
    /// Change which namespaces VF is to have.
    Namespaces { vf: u16, nsids: KVec<u32> },
}

/// What came of a job that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// [`Job::Prepare`]: the VFs have the least and the most of these.
    Prepared {
        least: Share,
        most: Share,
    },
    /// [`Job::Prepare`]: the VFs have resources of their own.
    Independent,
    /// [`Job::Prepare`]: the PF gives resources back, which takes effect with a function reset.
    WantsFunctionReset,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Somebody who holds no device lock.
    Any,
    /// Somebody who holds a device lock: gives up, with `EBUSY` and nothing changed, when the
    /// primary controller is held down until a callback that takes device locks.
    Locked,
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

    /// Whether VF `vf` is online, as far as is known.
    pub(super) fn is_online(&self, vf: u16) -> bool {
        let seen = self.view.secondary(vf).is_some_and(|s| s.is_online());
        seen && self.primary == Primary::Up && !self.is_awaited()
    }

    /// Whether the VFs are as yet to be provisioned again.
    fn is_awaited(&self) -> bool {
        self.dependent && self.restored != Some(self.epoch)
    }

    /// Takes the next job that nobody does yet.
    pub(super) fn take_job(&mut self) -> Option<(u64, Job)> {
        let waiting = |entry: &&mut Entry| entry.job.is_some();
        let entry = self.entries.iter_mut().find(waiting)?;
        entry.job.take().map(|job| (entry.ticket, job))
    }

    /// Puts a job back: it is done again, before those that came later.
    pub(super) fn put_back(&mut self, ticket: u64, job: Job) {
        if let Some(entry) = self.entries.iter_mut().find(|e| e.ticket == ticket) {
            entry.job = Some(job);
        }
    }

    /// Answers whoever waits for job `ticket`.
    pub(super) fn answer(&mut self, ticket: u64, answer: Result<Answer>) {
        if let Some(entry) = self.entries.iter_mut().find(|e| e.ticket == ticket) {
            entry.answer = Some(answer);
        }
    }

    pub(super) fn take_answer(&mut self, ticket: u64) -> Option<Result<Answer>> {
        let index = self.entries.iter().position(|e| e.ticket == ticket)?;
        self.entries.get(index)?.answer.as_ref()?;
        self.entries.remove(index).ok()?.answer
    }

    /// Takes job `ticket` back. `false` if the owner has it.
    pub(super) fn withdraw(&mut self, ticket: u64) -> bool {
        let waiting = |entry: &Entry| entry.ticket == ticket && entry.job.is_some();
        match self.entries.iter().position(waiting) {
            Some(index) => self.entries.remove(index).is_ok(),
            None => false,
        }
    }
}
