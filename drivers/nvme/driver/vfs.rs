// SPDX-License-Identifier: GPL-2.0

//! VFs that are enabled and disabled with the driver: as the module parameter asks, and before it is
//! unloaded.
//!
//! Both take the PCI rescan lock with no lock held, as `Documentation/design.rst` has it, and then
//! look whether the function is still theirs.

use super::NvmeDriver;
use crate::{
    controller::Nvme,
    parameters,
    sriov::{
        self,
        Family, //
    },
};
use kernel::{
    device::Core,
    pci::Device,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};
use kernel_ext::{
    nvme::Controller,
    pci::{
        sriov::{
            PhysicalFunction,
            RescanLocked, //
        },
        DeviceExt,
        Registered, //
    },
};

/// Enables the VFs that the module parameter asks for, in another thread: whoever removes the
/// function waits for its probe with the PCI rescan lock held. That they cannot be enabled does not
/// stop the PF.
pub(super) fn enable_later(
    family: &Arc<Family>,
    ctrl: &Controller<Nvme>,
    pdev: &Device<Core<'_>>,
    driver: &Registered<NvmeDriver>,
) {
    let want = parameters::sriov_vfs.value();
    let num = u16::try_from(want)
        .unwrap_or(u16::MAX)
        .min(pdev.total_vfs());
    if num == 0 || pdev.enabled_vfs() > 0 {
        return;
    }
    let (family, held) = (family.clone(), ARef::<Controller<Nvme>>::from(ctrl));
    let spawned = driver.spawn(move |driver| {
        let wanted = || !family.is_left();
        let Some((lock, dev)) = RescanLocked::lock_with(&held.data().pdev, wanted) else {
            return;
        };
        let result = driver.with_bound(&dev, |pdev, function| {
            // It may have been bound anew.
            match core::ptr::eq::<Controller<Nvme>>(function.controller(), &*held) {
                true => sriov::configure(&family, &held, pdev, num, &lock).map(drop),
                false => Ok(()),
            }
        });
        if let Some(Err(e)) = result {
            dev_warn!(held.device(), "sriov_vfs={want} was not met: {e:?}\n");
        }
    });
    if spawned.is_err() {
        dev_warn!(
            ctrl.device(),
            "sriov_vfs={want} was not met: out of memory\n"
        );
    }
}

/// Disables the VFs of a PF whose driver is about to be unregistered, without any lock held: then
/// their drivers are not taken away one by one first.
pub(super) fn disable_before_unload(driver: &Registered<NvmeDriver>, family: &Family) {
    family.set_left();
    let wanted = || family.pf.enabled_vfs() > 0;
    if let Some((lock, dev)) = RescanLocked::lock_with(&family.pf, wanted) {
        driver.with_bound(&dev, |_, function| {
            if let Ok(family) = function.family() {
                sriov::disable(family, function.controller(), &lock);
            }
        });
    }
}
