// SPDX-License-Identifier: GPL-2.0

//! The feature commands that the transport sends beside nvme-core's own, and when it sends them. Another
//! one is added here.
//!
//! These functions send admin commands, so the admin queue must be enabled, and the `BoundLock` must not
//! be held.

use super::hmb;
use crate::controller::Nvme;
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// Sends the commands for a controller that has been identified, at its start or in a reset, in which
/// the firmware may have changed. Fails if the controller does not answer.
pub(super) fn after_identify(ctrl: &Controller<Nvme>) -> Result {
    ctrl.data().role.forget_changes(ctrl)?;
    hmb::start(ctrl);
    // Identify shows which attributes apply.
    ctrl.update_attributes();
    Ok(())
}

/// Sends the commands for a controller that is about to be shut down or put in a low power state, in
/// which it must not access the host's memory.
pub(super) fn before_rest(ctrl: &Controller<Nvme>) {
    hmb::stop(ctrl);
}

/// Sends the commands for a controller that has left a low power state: it has kept its features, and
/// may access the host's memory again.
pub(super) fn after_rest(ctrl: &Controller<Nvme>) {
    hmb::start(ctrl);
}
