// SPDX-License-Identifier: GPL-2.0

//! The flexible resources that the primary controller keeps for itself: it gives back what the VFs lack,
//! and no more.

use super::{
    command,
    inventory::Inventory,
    plan::Shortage,
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

/// Makes the primary controller give back what the VFs lack by `shortage`, which takes effect when its
/// function is reset. Returns whether there is something to give back.
///
/// If the PF holds less than the shortage of a kind, that kind is left alone; dividing the pool reports
/// `ENOSPC` afterwards.
pub(super) fn give_back(
    ctrl: &Controller<Nvme>,
    inventory: &Inventory,
    shortage: impl Fn(Resource) -> Option<Shortage>,
) -> Result<bool> {
    let missing = |kind| {
        let Shortage { needed, free } = shortage(kind)?;
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

/// Returns how many resources of this kind the primary controller is to give back if the VFs lack
/// `short`. `None` if it has fewer, or could not work without them.
fn missing(inventory: &Inventory, kind: Resource, short: u32) -> Option<u16> {
    let short = u16::try_from(short).ok().filter(|&short| short > 0)?;
    let resource = inventory.caps.resource(kind);
    let left = resource.flexible_primary.get().checked_sub(short)?;
    let rest = left.saturating_add(resource.private_total.get());
    (rest >= minimum(kind)).then_some(short)
}
