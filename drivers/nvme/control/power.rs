// SPDX-License-Identifier: GPL-2.0

//! The controller while the system sleeps: shut down, or in its lowest power state (base
//! specification, section 5.1.25.1.2).
//!
//! Where the platform keeps the device powered, a power state of the controller's is quicker to
//! leave than a shutdown. The PCI core must then leave the device in D0.

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

/// Puts the controller to sleep with the system.
///
/// `EBUSY` if it is being reset, or removed.
pub(crate) fn suspend(ctrl: &Controller<Nvme>, dev: &pci::Device<Core<'_>>) -> Result {
    if stays_powered(ctrl, dev) && lower(ctrl, dev)? {
        return Ok(());
    }
    lifecycle::stop_for_reset(ctrl, true);
    ctrl.data().role.hold(true);
    Ok(())
}

/// Wakes the controller up. Returns whether it serves as before; else it must be reset.
pub(crate) fn resume(ctrl: &Controller<Nvme>) -> bool {
    let state = match ctrl.data().bound.lock() {
        Ok(mut hw) => hw.awake.take(),
        Err(_) => None,
    };
    let Some(state) = state else { return false };
    match ctrl.admin_command(admin::set_power_state(state), None) {
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

/// Whether a power state of the controller's will do.
fn stays_powered(ctrl: &Controller<Nvme>, dev: &pci::Device<Core<'_>>) -> bool {
    // What is beyond help does not keep the system awake. Without ASPM the link can only rest when
    // the device is in D3.
    !ctrl.state().is_terminal()
        && dev.keeps_context()
        && dev.has_aspm()
        && ctrl.power_states() > 1
        && !ctrl.quirks().contains(Quirks::SIMPLE_SUSPEND)
}

/// Puts the controller in its lowest power state, with no I/O under way. `false` if it refuses.
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
    let state = match ctrl.admin_command(admin::power_state(), None) {
        Err(AdminError::Refused(_)) => return Ok(false),
        answer => answer?,
    };
    let lowest = ctrl.power_states().saturating_sub(1);
    // The host's memory may not be there while the system sleeps.
    features::before_rest(ctrl);
    // Before the power state is set: the accesses to its configuration space would wake the device.
    dev.keep_power();
    let answer = ctrl.admin_command(admin::set_power_state(lowest), None);
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
