// SPDX-License-Identifier: GPL-2.0

//! The owner of a PF's VFs: the work item that alone sends commands about VFs to the controller.
//!
//! It does the jobs on the desk one after the other. When the controller is up after it was down, the
//! owner first provisions the VFs again. A job that was interrupted because the controller went down is
//! done again from its beginning.
//!
//! The work runs on nvme-core's workqueue without a lock held, and takes `Family::actual` for each step.

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
use kernel_ext::{
    alloc::NoIo,
    nvme::Controller, //
};

impl WorkItem for Family {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // VFs' disks may be waiting for this thread: it must not wait for their I/O to free memory.
        let _scope = NoIo::new();
        while step(&this) {}
        this.changed.notify_all();
    }
}

/// The next step of the owner.
enum Step {
    Restore,
    Look,
    Work(u64, Job),
}

/// Does the next step. Returns `false` if there is nothing to do, or if the controller is down: then the
/// owner is called again when that changes.
fn step(family: &Arc<Family>) -> bool {
    let Some(ctrl) = family.primary() else {
        return reject(family);
    };
    let (epoch, step) = {
        let mut desk = family.desk();
        match desk.primary {
            Primary::Gone => {
                drop(desk);
                return reject(family);
            }
            // In a terminal state, nobody starts the controller again.
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

/// Answers all jobs with `ENODEV`, as the controller is gone.
fn reject(family: &Arc<Family>) -> bool {
    let mut desk = family.desk();
    while let Some((ticket, _)) = desk.take_job() {
        desk.answer(ticket, Err(ENODEV));
    }
    false
}

/// Provisions the VFs again, after the controller was down.
fn restore(family: &Arc<Family>, ctrl: &Controller<Nvme>, epoch: u32) {
    let mut actual = family.actual.lock();
    let result = actual.restore(ctrl, family, epoch);
    let mut desk = family.desk();
    if desk.epoch != epoch {
        // The controller has gone down meanwhile: this is done again in the new epoch.
        return;
    }
    desk.restored = Some(epoch);
    drop(desk);
    match result {
        Ok(0) => {}
        Ok(count) => dev_info!(ctrl.device(), "provisioned {count} VFs again\n"),
        Err(e) => {
            dev_err!(ctrl.device(), "cannot provision the VFs again: {e:?}\n");
            // Their controllers must not wait any longer.
            for vf in actual.present() {
                let _ = family.note(vf, Standing::Refused(epoch));
            }
        }
    }
}

/// Reads again what the controller has.
fn look(family: &Arc<Family>, ctrl: &Controller<Nvme>, epoch: u32) {
    let mut actual = family.actual.lock();
    // If it cannot be read, sysfs shows the old view.
    if actual.look(ctrl, family).is_err() {
        let mut desk = family.desk();
        // If that is because the controller went down, it is read again later.
        desk.is_stale |= desk.epoch != epoch;
    }
}

/// Does a job.
fn work(family: &Arc<Family>, ctrl: &Controller<Nvme>, epoch: u32, ticket: u64, job: Job) {
    let mut actual = family.actual.lock();
    let answer = actual.perform(ctrl, family, epoch, &job);
    let mut desk = family.desk();
    let is_interrupted = desk.epoch != epoch && desk.primary != Primary::Gone;
    if answer.is_err() && is_interrupted {
        desk.put_back(ticket, job);
    } else {
        desk.answer(ticket, answer);
    }
}
