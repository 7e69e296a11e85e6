// SPDX-License-Identifier: GPL-2.0

//! The physical function (PF) provisions its virtual functions (VFs): they get their resources before
//! they exist, and are online before any driver sees them.
//!
//! - [`desk`]: what is wanted of the VFs, and what is known of them; [`family`]: the PF, its VFs and
//!   the desk; [`role`]: what a controller needs of its family.
//! - [`owner`]: the work item that alone sends commands about VFs; [`actual`]: what the VFs have.
//! - [`functions`]: VFs that join the bus and leave it.
//! - [`plan`], [`setting`], [`share`]: how many resources each VF gets.
//! - [`inventory`], [`attachments`], [`secondary`], [`primary`], [`command`]: commands about VFs and
//!   their results.
//! - [`sysfs`], [`view`]: what an administrator sees.
//!
//! Only [`family`], [`actual`] and [`functions`] use each other: a family contains what its owner knows
//! and the listener on the bus, and both report to the family.
//!
//! All of this sleeps, unless a function says that any context will do. The functions of this module
//! wait for the owner: their callers may hold the PCI rescan lock and device locks, but no lock of the
//! driver's own. `Documentation/design.rst` has the table of locks.

mod actual;
mod attachments;
mod command;
mod desk;
mod family;
mod functions;
mod inventory;
mod namespaces;
mod owner;
mod plan;
mod primary;
mod role;
mod secondary;
mod setting;
mod share;
mod sysfs;
mod view;

use self::{
    desk::{
        Answer,
        Job,
        Patience, //
    },
    share::Share,
};
pub(crate) use self::{
    family::Family,
    role::{
        Primary,
        Secondary, //
    },
    sysfs::Folders,
};
use crate::{
    control::lifecycle,
    controller::Nvme,
    spec::virtualization::Resource, //
};
use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    nvme::Controller,
    pci::{
        sriov::{
            PhysicalFunction,
            RescanLocked, //
        },
        DeviceExt, //
    },
};

/// Enables `num` VFs, or disables all if that is 0, for a write to `sriov_numvfs`. Returns the number of
/// enabled VFs. If the controller is being reset, waits until that is over. The PF's device lock and the
/// PCI rescan lock are held.
///
/// `EBUSY` if VFs are enabled and `num` is not 0, or if the controller waits for error recovery,
/// `ENODEV` if it is gone, `ENOSPC` if it has too few resources; else the PCI core's errors.
pub(crate) fn configure(
    family: &Arc<Family>,
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Core<'_>>,
    num: u16,
    lock: &RescanLocked,
) -> Result<u16> {
    if num == 0 {
        disable(family, ctrl, lock);
        return Ok(0);
    }
    let enabled = pdev.enabled_vfs();
    if enabled > 0 {
        dev_err!(
            ctrl.device(),
            "cannot enable {num} VFs: {enabled} are enabled; write 0 to sriov_numvfs first\n"
        );
        return Err(EBUSY);
    }
    let result = prepare(family, ctrl, pdev, num).inspect_err(|e| {
        // All other failures have been reported by now.
        let why = match *e {
            ENOMEM => "out of memory",
            ENODEV => "the controller is gone, or given up",
            EBUSY if family.is_held() => "the controller waits for error recovery",
            _ => return,
        };
        dev_err!(ctrl.device(), "cannot enable {num} VFs: {why}\n");
    });
    let shares = result?;
    if let Err(e) = functions::enable(family, ctrl, pdev, num, lock) {
        let _ = family.post(Job::Release, Patience::Leave);
        return Err(e);
    }
    let _ = family.post(Job::Look, Patience::Locked);
    announce(ctrl, pdev, num, shares);
    Ok(num)
}

/// Has the owner assign resources to `num` VFs. Returns the smallest and the largest share of each kind,
/// or `None` if the VFs have resources of their own.
fn prepare(
    family: &Arc<Family>,
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Core<'_>>,
    num: u16,
) -> Result<Option<(Share, Share)>> {
    let mut gave_back = false;
    loop {
        let job = Job::Prepare {
            vfs: num,
            gave_back,
        };
        match family.post(job, Patience::Locked)? {
            Answer::Prepared { least, most } => return Ok(Some((least, most))),
            Answer::WantsFunctionReset => lifecycle::reset_function(ctrl, pdev)?,
            Answer::Independent | Answer::Done => return Ok(None),
        }
        gave_back = true;
    }
}

/// Logs how many resources the VFs have.
fn announce(
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Core<'_>>,
    num: u16,
    shares: Option<(Share, Share)>,
) {
    let total = pdev.total_vfs();
    if !pdev.has_iommu() {
        dev_notice!(
            ctrl.device(),
            "there is no IOMMU: the VFs are not isolated, whoever has one can reach all memory\n"
        );
    }
    let Some((least, most)) = shares else {
        dev_info!(
            ctrl.device(),
            "enabled {num} of {total} VFs with resources of their own\n"
        );
        return;
    };
    if least == most {
        dev_info!(
            ctrl.device(),
            "enabled {num} of {total} VFs: {} queues and {} interrupts each\n",
            least.queues,
            least.interrupts
        );
    } else {
        dev_info!(
            ctrl.device(),
            "enabled {num} of {total} VFs: {} to {} queues and {} to {} interrupts each\n",
            least.queues,
            most.queues,
            least.interrupts,
            most.interrupts
        );
    }
}

/// Disables all VFs, if any are enabled, by this driver or another one, and takes their resources back.
/// The PF's device lock is held.
pub(crate) fn disable(family: &Arc<Family>, ctrl: &Controller<Nvme>, lock: &RescanLocked) {
    let pdev = &family.pf;
    let count = pdev.enabled_vfs();
    if count == 0 {
        return;
    }
    functions::disable(family, pdev, lock);
    let _ = family.post(Job::Release, Patience::Leave);
    dev_info!(ctrl.device(), "disabled {count} VFs\n");
}

/// Warns of VFs that another driver has left enabled.
pub(crate) fn warn_of_enabled_vfs(ctrl: &Controller<Nvme>, pdev: &pci::Device<Core<'_>>) {
    let count = pdev.enabled_vfs();
    if count > 0 {
        dev_warn!(
            ctrl.device(),
            "another driver has left {count} VFs enabled, which are offline; write 0 to \
             sriov_numvfs, and then the number that is wanted\n"
        );
    }
}

/// Returns the number of interrupts that can be assigned to VFs, for `sriov_vf_total_msix`.
pub(crate) fn total_interrupts(family: &Family) -> u32 {
    let desk = family.desk();
    let pool = desk.view.caps.filter(|c| c.supports(Resource::Interrupt));
    pool.map_or(0, |caps| {
        let resource = caps.resource(Resource::Interrupt);
        let primary = resource.flexible_primary.get().into();
        resource.flexible_total.get().saturating_sub(primary)
    })
}

/// Sets the number of interrupts of VF `vf`, for a write to `sriov_vf_msix_count`; 0 for an equal share.
/// The VF is enabled and has no driver; its device lock and the PF's are held. The VF gets as many
/// queues, unless their number is set. The setting remains when VFs are disabled and enabled again.
///
/// `EOPNOTSUPP` if the controller has no flexible interrupts, `EINVAL` if no VF can have that many,
/// `ENOSPC` if not enough are free.
pub(crate) fn set_interrupts(family: &Arc<Family>, vf: u16, interrupts: u32) -> Result {
    let job = Job::Share {
        vf,
        kind: Resource::Interrupt,
        count: u16::try_from(interrupts)?,
        is_unused: true,
    };
    family.post(job, Patience::Locked).map(drop)
}
