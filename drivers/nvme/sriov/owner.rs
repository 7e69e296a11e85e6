// SPDX-License-Identifier: GPL-2.0

//! The owner of a PF's VFs: a work item that alone tells the controller about them.
//!
//! It makes what the controller has equal to what is wanted: it does the jobs on the desk one after
//! the other, and provisions the VFs again when the controller is back after it was down. A job that
//! the controller's going down has interrupted is done again, from its beginning, when it is back.

use super::{
    desk::{
        Job,
        Primary,
        Standing, //
    },
    family::Family, //
};
use crate::controller::Nvme;
use kernel::{
    prelude::*,
    sync::Arc,
    workqueue::WorkItem, //
};
use kernel_ext::nvme::Controller;

impl WorkItem for Family {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        while step(&this) {}
        this.changed.notify_all();
    }
}

/// What the owner does next.
enum Step {
    Restore,
    Look,
    Work(u64, Job),
}

/// Does what comes next. `false` if there is nothing to do, or it cannot be done now: whoever
/// changes that calls the owner.
fn step(family: &Arc<Family>) -> bool {
    let Some(ctrl) = family.primary() else {
        return reject(family);
    };
    let (epoch, step) = {
        let mut desk = family.desk.lock();
        match desk.primary {
            Primary::Gone => {
                drop(desk);
                return reject(family);
            }
            // It goes down for good where nobody is left to start it.
            Primary::Down if ctrl.state().is_terminal() => {
                desk.primary = Primary::Gone;
                drop(desk);
                family.is_gone();
                return true;
            }
            Primary::Down => return false,
            Primary::Up => {}
        }
        desk.is_stale |= family.take_suspicion();
        let epoch = desk.epoch;
        let step = if desk.restored != Some(epoch) {
            Step::Restore
        } else if desk.is_stale {
            desk.is_stale = false;
            Step::Look
        } else {
            match desk.take_job() {
                Some((ticket, job)) => Step::Work(ticket, job),
                None => return false,
            }
        };
        (epoch, step)
    };
    match step {
        Step::Restore => restore(family, &ctrl, epoch),
        Step::Look => look(family, &ctrl, epoch),
        Step::Work(ticket, job) => work(family, &ctrl, epoch, ticket, job),
    }
    family.changed.notify_all();
    true
}

/// Answers all jobs: the controller is gone.
fn reject(family: &Arc<Family>) -> bool {
    let mut desk = family.desk.lock();
    while let Some((ticket, _)) = desk.take_job() {
        desk.answer(ticket, Err(ENODEV));
    }
    false
}

/// Provisions the VFs again, after the controller was down.
fn restore(family: &Arc<Family>, ctrl: &Controller<Nvme>, epoch: u32) {
    let mut actual = family.actual.lock();
    let result = actual.restore(ctrl, family, epoch);
    let mut desk = family.desk.lock();
    if desk.epoch != epoch {
        // It is done again.
        return;
    }
    desk.restored = Some(epoch);
    drop(desk);
    match result {
        Ok(0) => {}
        Ok(count) => dev_info!(ctrl.device(), "provisioned {count} VFs again\n"),
        Err(e) => {
            dev_err!(ctrl.device(), "cannot provision the VFs again: {e:?}\n");
            // They wait for nothing any more.
            for vf in actual.present() {
                let _ = family.note(vf, Standing::Refused(epoch));
            }
        }
    }
}

/// Looks again what the controller has.
fn look(family: &Arc<Family>, ctrl: &Controller<Nvme>, epoch: u32) {
    let mut actual = family.actual.lock();
    // What cannot be read is shown as it was.
    if actual.look(ctrl, family).is_err() {
        let mut desk = family.desk.lock();
        // If that is since it went down, there is a next time.
        desk.is_stale |= desk.epoch != epoch;
    }
}

/// Does a job.
fn work(family: &Arc<Family>, ctrl: &Controller<Nvme>, epoch: u32, ticket: u64, job: Job) {
    let mut actual = family.actual.lock();
    let answer = actual.perform(ctrl, family, epoch, &job);
    let mut desk = family.desk.lock();
    let is_interrupted = desk.epoch != epoch && desk.primary != Primary::Gone;
    if answer.is_err() && is_interrupted {
        desk.put_back(ticket, job);
    } else {
        desk.answer(ticket, answer);
    }
}
