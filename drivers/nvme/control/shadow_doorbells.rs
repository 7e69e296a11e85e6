// SPDX-License-Identifier: GPL-2.0

//! Gives the controller its doorbells in memory, if it supports them (base specification, section
//! 5.2.5).
//!
//! It sends an admin command, and takes the `BoundLock` only to find the buffers.

use crate::{
    controller::Nvme,
    queue::ShadowDoorbells,
    spec::registers::CAP, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::nvme::Controller;

/// Doorbell Buffer Config is supported, a bit of OACS in Identify Controller (figure 312).
const OACS_DOORBELL_BUFFERS: u16 = 1 << 8;

/// Makes the controller use doorbells in memory, if it supports them. The I/O queues must have been
/// created, and be empty.
///
/// The controller also works without, so a failure is only reported.
pub(crate) fn configure(ctrl: &Controller<Nvme>) {
    if ctrl.oacs() & OACS_DOORBELL_BUFFERS == 0 {
        return;
    }
    if let Err(e) = try_configure(ctrl) {
        dev_warn!(
            ctrl.device(),
            "shadow doorbells cannot be used ({e:?}); every doorbell is a register write\n"
        );
    }
}

fn try_configure(ctrl: &Controller<Nvme>) -> Result {
    let shadow = buffers(ctrl)?;
    let queues = ctrl.data().queue_pairs().count();
    if !shadow.fits(queues) {
        return Err(E2BIG);
    }
    shadow.clear()?;
    ctrl.admin_command(shadow.command(), ())?;
    for queue in ctrl.data().queue_pairs().skip(1) {
        if queue.is_enabled() {
            queue.share_doorbells(&shadow)?;
        }
    }
    Ok(())
}

/// Returns the buffers of `ctrl`; allocates them if there are none yet.
fn buffers(ctrl: &Controller<Nvme>) -> Result<Arc<ShadowDoorbells>> {
    let mut hw = Nvme::lock_running(ctrl)?;
    let (pdev, hw) = hw.split();
    if let Some(shadow) = &hw.shadow_doorbells {
        return Ok(shadow.clone());
    }
    let cap = CAP::from(ctrl.capabilities());
    let shadow = ShadowDoorbells::new(pdev.as_ref(), cap.doorbell_stride())?;
    hw.shadow_doorbells = Some(shadow.clone());
    Ok(shadow)
}
