// SPDX-License-Identifier: GPL-2.0

//! A controller is stopped (base specification, sections 3.6.1 and 3.6.2), whatever state it is in.
//!
//! This takes the `BoundLock`, and waits with it held for the commands by which queues are deleted;
//! no longer than one admin command may take.

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
    pci::DeviceExt, //
};

/// Whether the controller cannot be talked to any more.
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

/// Stops the controller and completes everything that is in flight; if it is a PF's, that of its VFs
/// as well. With `shutdown` it is told to save its state, and requests that come later fail; else
/// they wait for the next start.
///
/// May be called at any time, and more than once.
pub(crate) fn stop(ctrl: &Controller<Nvme>, shutdown: bool) {
    // Before, so that nobody takes what befalls the VFs for their own fault.
    ctrl.data().role.goes_down();
    stop_alone(ctrl, shutdown);
    ctrl.data().role.is_down();
}

fn stop_alone(ctrl: &Controller<Nvme>, shutdown: bool) {
    let data = ctrl.data();
    let Ok(mut hw) = data.bound.lock() else {
        return;
    };
    let state = ctrl.state();
    let dead = is_dead(ctrl, &hw);

    if matches!(state, State::Live | State::Resetting) {
        // Not again if a reset is broken off.
        if hw.enabled.is_some() && !core::mem::replace(&mut hw.frozen, true) {
            ctrl.start_freeze();
        }
        if !dead && shutdown {
            // Give the controller a chance to complete what has been entered.
            ctrl.wait_freeze_timeout();
        }
    }
    ctrl.quiesce_io();

    if let (false, Some(admin)) = (dead, data.queue_pair(0)) {
        io_queues::delete(ctrl);
        // The interrupt handler may have woken the waiter for the last command, and still be on its
        // way to the doorbell. Until that is written, the controller counts a completion as
        // pending, and may do so beyond its reset, which would leave INTx asserted.
        admin.poll();
        if ctrl.disable(shutdown).is_err() {
            dev_warn!(ctrl.device(), "the controller does not stop\n");
        }
        admin.poll();
    }
    for queue in data.queue_pairs().rev() {
        if queue.qid() == 0 && queue.is_enabled() {
            ctrl.quiesce_admin();
        }
        queue.disable();
    }
    hw.vectors = None;
    hw.enabled = None;

    // What was completed, but not seen, before the rest is called off.
    for queue in data.queue_pairs() {
        queue.poll();
    }
    ctrl.cancel_all();

    if shutdown {
        // The queues will not run again: let what waits in them fail.
        ctrl.unquiesce_io();
        ctrl.unquiesce_admin();
    }
}

/// Has a start or a reset that is under way fail soon: what it waits for does not come any more.
pub(crate) fn interrupt(ctrl: &Controller<Nvme>) {
    stop(ctrl, false);
    // What is yet to be sent must not wait for somebody to send it.
    ctrl.unquiesce_admin();
}
