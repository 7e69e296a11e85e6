// SPDX-License-Identifier: GPL-2.0

//! A VF's controller and its family: it is started only while its PF has it online.

use super::family::{
    Admission,
    Family, //
};
use crate::{
    controller::Nvme,
    spec::{
        admin::IDENTIFY_SIZE,
        namespaces::changed_list, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use kernel_ext::nvme::Controller;

/// What a controller is to others of its device.
pub(crate) enum Role {
    /// Nothing: it has no VFs, and is none, or its PF is not this driver's.
    Single,
    /// The controller of a physical function.
    Primary(Arc<Family>),
    /// The controller of a VF.
    Secondary(Membership),
}

/// The membership of a VF's controller.
pub(crate) struct Membership {
    family: Arc<Family>,
    vf: u16,
    /// What [`Admission::Served`] said when the controller was last started.
    served: Atomic<u32>,
}

impl Membership {
    /// That of the controller of VF `vf`.
    pub(crate) fn new(family: Arc<Family>, vf: u16) -> Self {
        Self {
            family,
            vf,
            served: Atomic::new(0),
        }
    }
}

/// Makes the controller known to its family.
pub(crate) fn join(ctrl: &Controller<Nvme>) -> Result {
    match &ctrl.data().role {
        Role::Secondary(member) => member.family.join(member.vf, ctrl)?,
        Role::Primary(family) => family.set_primary(ctrl),
        Role::Single => {}
    }
    Ok(())
}

/// The probe of the controller's function is over.
pub(crate) fn is_bound(ctrl: &Controller<Nvme>) {
    if let Role::Secondary(member) = &ctrl.data().role {
        member.family.is_bound(ctrl);
    }
}

/// The controller ends: undoes [`join`], or ends the family.
pub(crate) fn leave(ctrl: &Controller<Nvme>) {
    match &ctrl.data().role {
        Role::Secondary(member) => member.family.leave(ctrl),
        Role::Primary(family) => family.end(),
        Role::Single => {}
    }
}

/// The controller is about to be started: asks whether it can be. `EAGAIN` if it has to wait for its
/// PF, `ENODEV` if it will not be online.
pub(crate) fn admit(ctrl: &Controller<Nvme>) -> Result {
    let member = match &ctrl.data().role {
        Role::Secondary(member) => member,
        Role::Primary(family) => {
            family.starts();
            return Ok(());
        }
        Role::Single => return Ok(()),
    };
    match member.family.admission(member.vf) {
        Admission::Served(epoch) => {
            member.served.store(epoch, Relaxed);
            Ok(())
        }
        Admission::Wait => Err(EAGAIN),
        Admission::Refused => {
            dev_err!(
                ctrl.device(),
                "the VF is offline, and its PF does not bring it online\n"
            );
            Err(ENODEV)
        }
    }
}

/// Has the controller of a VF, which is about to look for its namespaces, forget which of them its PF
/// has changed before: else it would not tell of the next change.
pub(crate) fn forget_changes(ctrl: &Controller<Nvme>) -> Result {
    if let Role::Secondary(_) = &ctrl.data().role {
        let mut list = KVec::from_elem(0, IDENTIFY_SIZE, GFP_KERNEL)?;
        // One that has no such list does not tell of changes.
        let _ = ctrl.admin_command(changed_list(), Some(&mut list))?;
    }
    Ok(())
}

/// Whether the controller is a VF's whose PF has gone down since it was admitted, and may come
/// back: nothing that it does now means anything.
pub(crate) fn is_cut_off(ctrl: &Controller<Nvme>) -> bool {
    let Role::Secondary(member) = &ctrl.data().role else {
        return false;
    };
    match member.family.admission(member.vf) {
        Admission::Served(epoch) => epoch != member.served.load(Relaxed),
        Admission::Wait => true,
        Admission::Refused => false,
    }
}

/// Whether the controller is a VF's that has to wait for its PF.
pub(crate) fn has_to_wait(ctrl: &Controller<Nvme>) -> bool {
    match &ctrl.data().role {
        Role::Secondary(member) => member.family.admission(member.vf) == Admission::Wait,
        _ => false,
    }
}

/// Waits until a VF's controller need not wait for its PF any more, and has been reset for it. The
/// caller may hold device locks.
pub(crate) fn wait_for_primary(ctrl: &Controller<Nvme>) {
    if let Role::Secondary(member) = &ctrl.data().role {
        member.family.wait_for_primary(member.vf);
        ctrl.flush_reset();
    }
}

/// A VF's controller is live: the device may have attached namespaces to it by itself.
fn is_live(ctrl: &Controller<Nvme>) {
    if let Role::Secondary(member) = &ctrl.data().role {
        member.family.is_live(member.vf);
    }
}

/// The family of a PF's controller.
fn family(ctrl: &Controller<Nvme>) -> Option<&Arc<Family>> {
    match &ctrl.data().role {
        Role::Primary(family) => Some(family),
        _ => None,
    }
}

/// The controller is about to be stopped.
pub(crate) fn goes_down(ctrl: &Controller<Nvme>) {
    if let Some(family) = family(ctrl) {
        family.goes_down();
    }
}

/// The controller is stopped.
pub(crate) fn is_down(ctrl: &Controller<Nvme>) {
    if let Some(family) = family(ctrl) {
        family.is_down();
    }
}

/// The controller, which is stopped, is started again in a callback of the PCI core; or no more.
pub(crate) fn hold(ctrl: &Controller<Nvme>, held: bool) {
    if let Some(family) = family(ctrl) {
        family.hold(held);
    }
}

/// The controller is live. That of a PF waits until its VFs have what they had.
pub(crate) fn is_up(ctrl: &Controller<Nvme>) {
    is_live(ctrl);
    if let Some(family) = family(ctrl) {
        family.is_up();
    }
}

/// Whether the controller is a PF's that was live, and has not been stopped since.
pub(crate) fn is_served(ctrl: &Controller<Nvme>) -> bool {
    family(ctrl).is_some_and(|family| family.is_served())
}

/// The controller is given up.
pub(crate) fn is_gone(ctrl: &Controller<Nvme>) {
    if let Some(family) = family(ctrl) {
        family.is_gone();
    }
}

/// Whether a command to the primary controller failed, or will, as it is down.
pub(super) fn is_interrupted(ctrl: &Controller<Nvme>) -> bool {
    family(ctrl).is_some_and(|family| !family.is_served())
}
