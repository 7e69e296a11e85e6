// SPDX-License-Identifier: GPL-2.0

//! System sleep: shuts the controller down, or puts it in its lowest power state (base specification,
//! section 5.1.25.1.2).
//!
//! Where the platform keeps the device powered, a power state is quicker to leave than a shutdown. The
//! PCI core must then leave the device in D0.
//!
//! The PCI core calls this with the device lock held. It sends admin commands, so the `BoundLock` must
//! not be held.

use super::{
    features,
    lifecycle, //
};
use crate::{controller::Nvme, spec::admin};
use kernel::{
    device::Core,
    pci,
    prelude::*, //
};
use kernel_ext::{
    nvme::{
        AdminError,
        Controller,
        Quirks,
        State, //
    },
    pci::SystemSleep, //
};

/// Prepares the controller for system sleep: puts it in its lowest power state, or stops it.
///
/// `EBUSY` if the controller is being reset or removed.
pub(crate) fn suspend(ctrl: &Controller<Nvme>, dev: &pci::Device<Core<'_>>) -> Result {
    if stays_powered(ctrl, dev) && lower(ctrl, dev)? {
        return Ok(());
    }
    lifecycle::stop_for_reset(ctrl, true);
    ctrl.data().role.hold(true);
    Ok(())
}

/// Wakes the controller up. Returns whether it works again; otherwise it must be reset.
pub(crate) fn resume(ctrl: &Controller<Nvme>) -> bool {
    let state = match ctrl.data().bound.lock() {
        Ok(mut hw) => hw.awake.take(),
        Err(_) => None,
    };
    let Some(state) = state else { return false };
    match ctrl.admin_command(admin::set_power_state(state), ()) {
        Ok(_) => {
            features::after_rest(ctrl);
            true
        }
        Err(_) => {
            dev_warn!(ctrl.device(), "it does not leave its power state\n");
            false
        }
    }
}

/// Returns whether a low power state of the controller is enough during system sleep.
fn stays_powered(ctrl: &Controller<Nvme>, dev: &pci::Device<Core<'_>>) -> bool {
    // A controller that has been given up must not keep the system awake. Without ASPM, the link saves
    // power only when the device is in D3.
    !ctrl.state().is_terminal()
        && dev.keeps_context()
        && dev.has_aspm()
        && ctrl.power_states() > 1
        && !ctrl.quirks().contains(Quirks::SIMPLE_SUSPEND)
}

/// Waits until no I/O is in flight, and puts the controller in its lowest power state. Returns `false`
/// if it refuses.
fn lower(ctrl: &Controller<Nvme>, dev: &pci::Device<Core<'_>>) -> Result<bool> {
    ctrl.start_freeze();
    ctrl.wait_freeze();
    ctrl.sync_queues();
    let lowered = match ctrl.state() {
        State::Live => try_lower(ctrl, dev),
        _ => Err(EBUSY),
    };
    ctrl.unfreeze();
    lowered
}

fn try_lower(ctrl: &Controller<Nvme>, dev: &pci::Device<Core<'_>>) -> Result<bool> {
    let state = match ctrl.admin_command(admin::power_state(), ()) {
        Err(AdminError::Refused(_)) => return Ok(false),
        answer => answer?,
    };
    let lowest = ctrl.power_states().saturating_sub(1);
    // The host's memory may be off while the system sleeps.
    features::before_rest(ctrl);
    // This must precede the power-state command: its accesses to the configuration space would wake the
    // controller.
    dev.keep_power();
    let answer = ctrl.admin_command(admin::set_power_state(lowest), ());
    if answer.is_err() {
        dev.leave_power();
    }
    if let Err(AdminError::Refused(status)) = answer {
        dev_warn!(
            ctrl.device(),
            "power state {lowest} was refused, status {:#x}; shutting down\n",
            status.code()
        );
        return Ok(false);
    }
    answer?;
    ctrl.data().bound.lock()?.awake = Some(state);
    Ok(true)
}
