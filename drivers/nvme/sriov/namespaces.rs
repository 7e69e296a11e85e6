// SPDX-License-Identifier: GPL-2.0

//! Checks the namespaces that an administrator wants a VF to have.

use super::attachments::Attachments;
use crate::{
    controller::Nvme,
    spec::namespaces, //
};
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// Checks the numbers: `EINVAL` if one is no namespace identifier, or is there twice, `EOPNOTSUPP` if the
/// controller does not support attaching namespaces.
pub(super) fn check(ctrl: &Controller<Nvme>, vf: u16, nsids: &[u32]) -> Result {
    if !nsids.is_empty() && !Attachments::are_known(ctrl) {
        dev_err!(ctrl.device(), "the controller cannot attach namespaces\n");
        return Err(EOPNOTSUPP);
    }
    for (i, &nsid) in nsids.iter().enumerate() {
        if !namespaces::is_valid(nsid) || nsids.iter().skip(i + 1).any(|&other| other == nsid) {
            dev_err!(
                ctrl.device(),
                "VF {vf}: namespace {nsid} is there twice, or no namespace can have this number\n"
            );
            return Err(EINVAL);
        }
    }
    Ok(())
}

/// Checks that the namespaces exist: `ENXIO` if one does not.
pub(super) fn check_existence(
    ctrl: &Controller<Nvme>,
    vf: u16,
    nsids: &[u32],
    attached: &Attachments,
) -> Result {
    for &nsid in nsids {
        if !attached.exists(nsid) {
            dev_err!(
                ctrl.device(),
                "VF {vf}: there is no namespace {nsid}; nvme list-ns -a shows those that are\n"
            );
            return Err(ENXIO);
        }
    }
    Ok(())
}

/// Returns a copy of the list.
pub(super) fn copy(nsids: &[u32]) -> Result<KVec<u32>> {
    let mut copy = KVec::with_capacity(nsids.len(), GFP_KERNEL)?;
    copy.extend_from_slice(nsids, GFP_KERNEL)?;
    Ok(copy)
}
