// SPDX-License-Identifier: GPL-2.0

//! Stops a controller (base specification, sections 3.6.1 and 3.6.2), whatever state it is in.
//!
//! This takes the `BoundLock`. With it held, it waits for the commands that delete the I/O queues, for
//! no longer than one admin timeout. It is called with and without the device lock, and by the block
//! layer's timeout work.

use super::io_queues;
use crate::{
    controller::{
        Hardware,
        Nvme, //
    },
    spec::registers::CSTS, //
};
use kernel::prelude::*;
use kernel_ext::{
    nvme::{
        Controller,
        State, //
    },
    pci::{
        DeviceExt,
        Stopped, //
    }, //
};

/// Returns whether the controller does not answer any more, or must not be accessed.
fn is_dead(ctrl: &Controller<Nvme>, hw: &Hardware) -> bool {
    let data = ctrl.data();
    if hw.enabled.is_none()
        || !data.is_present()
        || data.pdev.is_channel_offline()
        || ctrl.data().role.has_to_wait()
    {
        return true;
    }
    let csts = CSTS::read(&data.bar);
    csts.cfs() || !csts.rdy()
}

/// Stops the controller and completes all requests in flight; if the function is a PF, those of its VFs,
/// too. With `shutdown`, the controller saves its state, and later requests fail; else they wait for the
/// next start.
///
/// May be called at any time, and more than once.
pub(crate) fn stop(ctrl: &Controller<Nvme>, shutdown: bool) {
    // Before the stop: the failures that VFs see from now on are not their own.
    ctrl.data().role.goes_down();
    stop_alone(ctrl, shutdown);
    ctrl.data().role.is_down();
}

/// Stops the controller, without regard to VFs.
fn stop_alone(ctrl: &Controller<Nvme>, shutdown: bool) {
    let data = ctrl.data();
    let Ok(mut hw) = data.bound.lock() else {
        return;
    };
    let dead = is_dead(ctrl, &hw);
    freeze_io(ctrl, &mut hw, shutdown && !dead);
    ctrl.quiesce_io();
    if !dead {
        disable(ctrl, shutdown);
    }
    for queue in data.queue_pairs().rev() {
        if queue.qid() == 0 && queue.is_enabled() {
            ctrl.quiesce_admin();
        }
        queue.disable();
    }
    let (pdev, hw) = hw.split();
    hw.vectors = None;
    hw.enabled = None;
    let stopped = Stopped::new(pdev);

    // Completions that have arrived are taken before the other requests are cancelled.
    for queue in data.queue_pairs() {
        queue.poll();
    }
    if let Err(e) = stopped.and_then(|stopped| ctrl.cancel_all(&stopped)) {
        dev_err!(ctrl.device(), "requests are not cancelled: {e:?}\n");
    }

    if shutdown {
        // The queues are not started again: requests that wait in them must fail.
        ctrl.unquiesce_io();
        ctrl.unquiesce_admin();
    }
}

/// Freezes the I/O queues of a controller that was live or is being reset, unless an earlier stop has.
/// If `wait`, gives the controller time to complete the requests that have entered them.
fn freeze_io(ctrl: &Controller<Nvme>, hw: &mut Hardware, wait: bool) {
    if !matches!(ctrl.state(), State::Live | State::Resetting) {
        return;
    }
    if hw.enabled.is_some() && !core::mem::replace(&mut hw.frozen, true) {
        ctrl.start_freeze();
    }
    if wait {
        ctrl.wait_freeze_timeout();
    }
}

/// Deletes the I/O queues, and disables the controller, or shuts it down.
fn disable(ctrl: &Controller<Nvme>, shutdown: bool) {
    let Some(admin) = ctrl.data().queue_pair(0) else {
        return;
    };
    io_queues::delete(ctrl);
    // The interrupt handler may have woken the waiter for the last command, and not yet have written
    // the doorbell. Until then, the controller counts a completion as pending, perhaps even beyond its
    // reset, which would leave INTx asserted. Polling waits for the handler.
    admin.poll();
    if ctrl.disable(shutdown).is_err() {
        dev_warn!(ctrl.device(), "the controller does not stop\n");
    }
    admin.poll();
}

/// Makes a start or a reset that is running fail soon: cancels the command that it waits for.
pub(crate) fn interrupt(ctrl: &Controller<Nvme>) {
    stop(ctrl, false);
    // Commands that it sends from now on must fail, not wait for the admin queue to be started.
    ctrl.unquiesce_admin();
}
