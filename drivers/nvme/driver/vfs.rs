// SPDX-License-Identifier: GPL-2.0

//! Enables VFs after a probe, if the module parameter asks for them, and disables VFs before the module
//! is unloaded.
//!
//! Both run with no lock held, take the PCI rescan lock and then the PF's device lock
//! (`Documentation/design.rst` has the order), and then check whether the function is still bound.

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

/// Enables the VFs that the module parameter asks for, in another thread: a removal of the function holds
/// the PCI rescan lock while it waits for the probe, so the probe must not wait for that lock. The PF
/// works even if this fails.
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
            // The function may have been bound anew, with another controller.
            if !core::ptr::eq::<Controller<Nvme>>(function.controller(), &*held) {
                return Ok(());
            }
            sriov::configure(&family, &held, pdev, num, &lock).map(drop)
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

/// Disables the VFs of a PF, before the driver is unregistered: the PCI core would unbind the VFs one
/// after the other. No lock is held.
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
