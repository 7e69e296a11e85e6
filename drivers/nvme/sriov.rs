// SPDX-License-Identifier: GPL-2.0

//! The physical function owns its virtual functions: they get their resources before they exist,
//! and are online before any driver sees them.
//!
//! - [`desk`]: what is wanted, and what others may know; [`family`]: a PF and its VFs, as each sees
//!   the others; [`role`]: what of that a
//!   controller needs.
//! - [`owner`]: the one who tells the controller about its VFs, and [`actual`]: what these have.
//! - [`functions`]: VFs on the bus.
//! - [`plan`], [`setting`], [`share`]: who is to have what.
//! - [`inventory`], [`attachments`], [`secondary`], [`primary`], [`command`]: what the controller
//!   says and is told.
//! - [`sysfs`], [`view`]: what an administrator sees.
//!
//! Only [`family`], [`actual`] and [`functions`] use each other: a family holds what its owner knows
//! and who listens to the bus, and both tell the family what they see.
//!
//! Locks: the device lock of the PF and the PCI rescan lock are held by the callers of
//! [`configure`] and [`disable`], and while the VFs' drivers are probed. Whoever changes the
//! resources of a VF holds the VF's device lock, and not the PF's. No lock of the driver's own is
//! held with them, or while the owner is waited for. `Documentation/design.rst` has all of them.

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

/// Makes `num` the number of enabled VFs, as `sriov_numvfs` wants it. Returns that number. If the
/// controller is being reset, waits for that.
///
/// `EBUSY` if VFs are enabled and `num` is not 0, or the controller waits for error recovery,
/// `ENODEV` if it is gone, `ENOSPC` if its resources are short, and the PCI core's errors.
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
        // Whatever else can fail has been told of by now.
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
        let _ = family.post(Job::Release, Patience::Locked);
        return Err(e);
    }
    let _ = family.post(Job::Look, Patience::Locked);
    announce(ctrl, pdev, num, shares);
    Ok(num)
}

/// Has resources shared out to `num` VFs. Returns the least and the most that one has, or `None` if
/// they have resources of their own.
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

/// Says what the VFs have.
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

/// Disables all VFs, if any are enabled, by whomever, and takes their resources back.
pub(crate) fn disable(family: &Arc<Family>, ctrl: &Controller<Nvme>, lock: &RescanLocked) {
    let pdev = &family.pf;
    let count = pdev.enabled_vfs();
    if count == 0 {
        return;
    }
    functions::disable(family, pdev, lock);
    let _ = family.post(Job::Release, Patience::Locked);
    dev_info!(ctrl.device(), "disabled {count} VFs\n");
}

/// Tells of VFs that another driver has left enabled.
pub(crate) fn tell_of_strangers(ctrl: &Controller<Nvme>, pdev: &pci::Device<Core<'_>>) {
    let count = pdev.enabled_vfs();
    if count > 0 {
        dev_warn!(
            ctrl.device(),
            "another driver has left {count} VFs enabled, which are offline; write 0 to \
             sriov_numvfs, and then the number that is wanted\n"
        );
    }
}

/// How many interrupts can be given to VFs, as `sriov_vf_total_msix` shows it.
pub(crate) fn total_interrupts(family: &Family) -> u32 {
    let desk = family.desk.lock();
    let pool = desk.view.caps.filter(|c| c.supports(Resource::Interrupt));
    pool.map_or(0, |caps| {
        let resource = caps.resource(Resource::Interrupt);
        let primary = resource.flexible_primary.get().into();
        resource.flexible_total.get().saturating_sub(primary)
    })
}

/// Makes `interrupts` the number of interrupts of VF `vf`, as `sriov_vf_msix_count` wants it; 0
/// for an equal share. The VF is enabled and has no driver; both device locks are held. It gets as
/// many queues, unless their number is set, and keeps both when VFs are disabled and enabled again.
///
/// `EOPNOTSUPP` if the controller has no interrupts to hand out, `EINVAL` if no VF can have as
/// many, `ENOSPC` if as many are not free.
pub(crate) fn set_interrupts(family: &Arc<Family>, vf: u16, interrupts: u32) -> Result {
    let job = Job::Share {
        vf,
        kind: Resource::Interrupt,
        count: u16::try_from(interrupts)?,
        is_unused: true,
    };
    family.post(job, Patience::Locked).map(drop)
}
