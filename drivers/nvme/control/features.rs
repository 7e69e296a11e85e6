// SPDX-License-Identifier: GPL-2.0

//! What a controller is told by feature commands beside nvme-core's own, and when: the one place to
//! add another.
//!
//! Each function is called with the admin queue at work and no lock held.

use super::hmb;
use crate::controller::Nvme;
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// The controller has been identified, at its start or in a reset; new firmware may want other things
/// than the one before. Fails if it does not answer.
pub(super) fn after_identify(ctrl: &Controller<Nvme>) -> Result {
    ctrl.data().role.forget_changes(ctrl)?;
    hmb::start(ctrl);
    // What there is depends on what it was found to have.
    ctrl.update_attributes();
    Ok(())
}

/// The controller is about to be shut down or put to sleep, with the host's memory out of its reach.
pub(super) fn before_rest(ctrl: &Controller<Nvme>) {
    hmb::stop(ctrl);
}

/// The controller has left a power state, in which it kept its features but was away from the host's
/// memory.
pub(super) fn after_rest(ctrl: &Controller<Nvme>) {
    hmb::start(ctrl);
}
