// SPDX-License-Identifier: GPL-2.0

//! The physical function owns its virtual functions: they get their resources before they exist,
//! and are online before any driver sees them.
//!
//! In order: [`resources`] are divided by the [`plan`] and assigned; the PCI core enables the VFs;
//! as each one joins the bus, it is brought online. Whatever fails, what was done is undone in
//! reverse by the values that stand for it.
//!
//! Locks: the device lock of the PF and the PCI rescan lock are held by the callers of
//! [`configure`] and [`disable`]; `Nvme::vfs` comes next, and is held while the VFs' drivers are
//! probed. A reset of the PF that comes in between does not wait for it, see [`provision_again`].

mod plan;
mod resources;

use self::resources::Secondaries;
use crate::{
    controller::Nvme,
    driver::NvmeDriver, //
};
use kernel::{
    device::Bound,
    pci,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    }, //
};
use kernel_ext::{
    nvme::{
        Controller,
        State, //
    },
    pci::{
        sriov::{
            RescanLocked,
            VfsEnabled,
            VirtualFunction, //
        },
        Adapter,
        BusNotifier,
        DeviceExt, //
    },
};

/// A PF's VFs: what the administrator wants of them, and those that there are.
#[derive(Default)]
pub(crate) struct Virtualization {
    /// How many interrupts each VF, from 0, is to have; 0 for an equal share. Outlives the VFs.
    interrupts: KVec<u16>,
    enabled: Option<Vfs>,
}

/// The enabled VFs of a PF.
///
/// Fields are dropped in this order: the functions go, then their resources return.
struct Vfs {
    functions: VfsEnabled,
    /// `None` if the controller has no resources to share out.
    secondaries: Option<Secondaries>,
}

/// Makes `num` the number of enabled VFs, as `sriov_numvfs` wants it. Returns that number.
///
/// `EBUSY` if VFs are enabled and `num` is not 0, `ENODEV` if the controller is not live,
/// `ENOSPC` if its resources are short, and the PCI core's errors.
pub(crate) fn configure(
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Bound>,
    num: u16,
    lock: &RescanLocked,
) -> Result<u16> {
    if num == 0 {
        disable(ctrl, lock);
        return Ok(0);
    }
    let mut vfs = ctrl.data().vfs.lock();
    if vfs.enabled.is_some() {
        return Err(EBUSY);
    }
    if ctrl.state() != State::Live {
        dev_err!(
            ctrl.device(),
            "cannot enable VFs: the controller is not live\n"
        );
        return Err(ENODEV);
    }

    let secondaries = Secondaries::assign(ctrl, num, &vfs.interrupts)?;
    let functions = enable_functions(ctrl, pdev, num, secondaries.as_ref(), lock)?;
    announce(ctrl, pdev, num, secondaries.as_ref());
    vfs.enabled = Some(Vfs {
        functions,
        secondaries,
    });
    Ok(num)
}

/// Says what the VFs have.
fn announce(
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Bound>,
    num: u16,
    secondaries: Option<&Secondaries>,
) {
    let total = pdev.total_vfs();
    let Some((least, most)) = secondaries.map(Secondaries::range) else {
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

/// Has the PCI core enable `num` VFs. When each joins the bus, it is brought online, and put in
/// its place in the order of system sleep.
fn enable_functions(
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Bound>,
    num: u16,
    secondaries: Option<&Secondaries>,
    lock: &RescanLocked,
) -> Result<VfsEnabled> {
    // The errno of the first VF that could not be brought online; 0 if all could.
    let failure = Atomic::new(0);
    let added = |dev: &pci::Device| {
        let Some(vf) = dev.index_in(pdev) else {
            return;
        };
        let online = secondaries.map_or(Ok(()), |secondaries| secondaries.bring_online(vf));
        if let Err(e) = online.and_then(|()| dev.sleep_before(pdev)) {
            let _ = failure.cmpxchg(0, e.to_errno(), Full);
        }
    };
    let functions =
        BusNotifier::listen(&added, || VfsEnabled::new(pdev, num, lock))?.inspect_err(|e| {
            dev_err!(
                ctrl.device(),
                "cannot enable {num} VFs: the PCI core says {e:?}; for ENOMEM, the bridge above \
                 lacks memory window or bus numbers: try pci=realloc or fewer VFs\n"
            );
        })?;
    match failure.load(Relaxed) {
        0 => Ok(functions),
        errno => {
            functions.disable(lock);
            Err(Error::from_errno(errno))
        }
    }
}

/// Whether VFs are enabled.
pub(crate) fn is_enabled(ctrl: &Controller<Nvme>) -> bool {
    ctrl.data().vfs.lock().enabled.is_some()
}

/// Disables all VFs, if any are enabled, and takes their resources back.
pub(crate) fn disable(ctrl: &Controller<Nvme>, lock: &RescanLocked) {
    let vfs = ctrl.data().vfs.lock().enabled.take();
    if let Some(Vfs {
        functions,
        secondaries,
    }) = vfs
    {
        let count = functions.count();
        functions.disable(lock);
        drop(secondaries);
        dev_info!(ctrl.device(), "disabled {count} VFs\n");
    }
}

/// Gives the VFs back what they lost by a reset of the PF: resources, and being online.
///
/// VFs that are being enabled at this moment are left to fail: their enabling waits for commands
/// that this very reset has interrupted.
pub(crate) fn provision_again(ctrl: &Controller<Nvme>) {
    let Some(vfs) = ctrl.data().vfs.try_lock() else {
        return;
    };
    let Some(Vfs {
        functions,
        secondaries: Some(secondaries),
    }) = &vfs.enabled
    else {
        return;
    };
    let result = secondaries
        .assign_all()
        .and_then(|()| (0..functions.count()).try_for_each(|vf| secondaries.bring_online(vf)));
    if result.is_ok() {
        dev_info!(
            ctrl.device(),
            "provisioned {} VFs again\n",
            functions.count()
        );
    }
    // What the VFs had in flight is lost. Drivers other than ours find out by a timeout.
    Adapter::<NvmeDriver>::for_each_vf(&ctrl.data().pdev, |vf| vf.wake());
}

/// How many interrupts can be given to VFs, as `sriov_vf_total_msix` shows it.
pub(crate) fn total_interrupts(ctrl: &Controller<Nvme>) -> u32 {
    resources::total_interrupts(ctrl).unwrap_or(0)
}

/// Makes `interrupts` the number of interrupts of VF `vf`, as `sriov_vf_msix_count` wants it; 0
/// for an equal share. The VF has no driver. It gets as many queues, and keeps both when VFs are
/// disabled and enabled again.
///
/// `EOPNOTSUPP` if the controller has no interrupts to hand out, `EINVAL` if no VF can have as
/// many, `ENOSPC` if as many are not free.
pub(crate) fn set_interrupts(ctrl: &Controller<Nvme>, vf: u16, interrupts: u32) -> Result {
    let interrupts = u16::try_from(interrupts)?;
    let mut vfs = ctrl.data().vfs.lock();
    let index = usize::from(vf);
    while vfs.interrupts.len() <= index {
        vfs.interrupts.push(0, GFP_KERNEL)?;
    }
    let enabled = vfs.enabled.as_mut().ok_or(ENODEV)?;
    let secondaries = enabled.secondaries.as_mut().ok_or(EOPNOTSUPP)?;
    secondaries.set_interrupts(vf, interrupts)?;
    if let Some(setting) = vfs.interrupts.get_mut(index) {
        *setting = interrupts;
    }
    Ok(())
}
