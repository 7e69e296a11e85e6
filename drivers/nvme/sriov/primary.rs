// SPDX-License-Identifier: GPL-2.0

//! The flexible resources that the primary controller holds itself: it keeps them unless the VFs
//! need them, and then gives back just what is missing.

use super::{
    command,
    inventory::Inventory,
    plan::Short,
    share::{
        minimum,
        name,
        KINDS, //
    },
};
use crate::{
    controller::Nvme,
    spec::virtualization::Resource, //
};
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// Has the primary controller give back what the VFs lack by `shortage`, which takes effect with
/// a function reset. Returns whether there is something to give back.
///
/// What it does not have, it does not give: whether the VFs get what they need is seen when the
/// pool is divided.
pub(super) fn give_back(
    ctrl: &Controller<Nvme>,
    inventory: &Inventory,
    shortage: impl Fn(Resource) -> Option<Short>,
) -> Result<bool> {
    let missing = |kind| {
        let Short { needed, free } = shortage(kind)?;
        missing(inventory, kind, needed.saturating_sub(free))
    };
    let missing = KINDS.map(missing);
    if missing.iter().all(Option::is_none) {
        return Ok(false);
    }
    for (kind, missing) in KINDS.into_iter().zip(missing) {
        let Some(missing) = missing else {
            continue;
        };
        let held = inventory.caps.resource(kind).flexible_primary.get();
        let (left, name) = (held.saturating_sub(missing), name(kind));
        let cntlid = inventory.caps.cntlid.get();
        command::allocate_to_primary(ctrl, cntlid, kind, left)?;
        dev_info!(
            ctrl.device(),
            "the VFs lack {missing} {name} resources: the PF gives them back and keeps {left}\n"
        );
    }
    Ok(true)
}

/// How many resources of this kind the primary controller is to give back if the VFs lack
/// `short`. `None` if it does not have as many, or could not work without.
fn missing(inventory: &Inventory, kind: Resource, short: u32) -> Option<u16> {
    let short = u16::try_from(short).ok().filter(|&short| short > 0)?;
    let resource = inventory.caps.resource(kind);
    let left = resource.flexible_primary.get().checked_sub(short)?;
    let rest = left.saturating_add(resource.private_total.get());
    (rest >= minimum(kind)).then_some(short)
}
