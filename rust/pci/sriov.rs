// SPDX-License-Identifier: GPL-2.0

//! SR-IOV: switching virtual functions (VFs) on and off, and telling whose they are.
//!
//! Lock order: the physical function's device lock, then the PCI rescan lock
//! ([`RescanLocked`]), then a VF's device lock. `sriov_numvfs` takes them in this order, and so
//! does everything here.

use super::{
    as_raw,
    DeviceExt,
    DeviceLocked, //
};
use crate::bindings;
use kernel::{
    device::{
        Bound,
        Core,
        DeviceContext, //
    },
    error::to_result,
    pci::Device,
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

/// Proof that the lock of PCI rescan and removal is held, by this thread or on its behalf.
///
/// VFs may be added and removed only under it.
pub struct RescanLocked {
    taken: bool,
    _not_send: NotThreadSafe,
}

impl RescanLocked {
    /// Takes the lock. It is not recursive: a caller that holds it already deadlocks.
    pub fn lock() -> Self {
        // SAFETY: Only takes a mutex.
        unsafe { bindings::pci_lock_rescan_remove() };
        Self {
            taken: true,
            _not_send: NotThreadSafe,
        }
    }

    /// The lock as `unbind` finds it: when the PCI core removes the device, it holds the lock
    /// already; when only the driver goes (`unbind` in sysfs, rmmod), nobody does and it is taken.
    ///
    /// The PCI core clears its "added" mark on a device when it begins to remove it, with the
    /// lock held, and before it asks the driver to let go.
    pub fn for_unbind(dev: &Device<Core<'_>>) -> Self {
        /// Bit number of `PCI_DEV_ADDED` in `pci_dev::priv_flags` (drivers/pci/pci.h).
        const PCI_DEV_ADDED: u32 = 0;

        // SAFETY: `as_raw` is valid; the flags are changed by atomic bit operations only.
        let flags = unsafe { core::ptr::read_volatile(&raw const (*as_raw(dev)).priv_flags) };
        if flags & 1 << PCI_DEV_ADDED != 0 {
            Self::lock()
        } else {
            // SAFETY: The removal that cleared the mark holds the lock until the driver is gone.
            unsafe { Self::assume() }
        }
    }

    /// The lock, held by somebody who waits for this thread.
    ///
    /// # Safety
    ///
    /// The lock must be held for as long as the value lives.
    pub(super) unsafe fn assume() -> Self {
        Self {
            taken: false,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for RescanLocked {
    fn drop(&mut self) {
        if self.taken {
            // SAFETY: `lock` took it, in this thread.
            unsafe { bindings::pci_unlock_rescan_remove() };
        }
    }
}

/// A physical function's enabled VFs. They are disabled by [`VfsEnabled::disable`]; dropping the
/// value does the same for callers that hold the rescan lock without being able to show it.
pub struct VfsEnabled {
    dev: ARef<Device>,
    count: u16,
}

impl VfsEnabled {
    /// Enables `count` VFs of `dev` and adds them to the bus; their drivers may be probed before
    /// this returns.
    ///
    /// The PCI core's errors: `ENOSYS` if `dev` has no SR-IOV capability, `EINVAL` if VFs are
    /// enabled already or `count` is above TotalVFs, `ENOMEM` if VF BARs or bus numbers are short.
    pub fn new(dev: &Device<Bound>, count: u16, _lock: &RescanLocked) -> Result<Self> {
        // SAFETY: `as_raw` is valid, and the rescan lock is held.
        to_result(unsafe { bindings::pci_enable_sriov(as_raw(dev), c_int::from(count)) })?;
        Ok(Self {
            dev: dev.into(),
            count,
        })
    }

    /// How many VFs are enabled.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Unbinds the VFs' drivers, removes the VFs from the bus and disables them. Takes a second.
    pub fn disable(self, _lock: &RescanLocked) {
        drop(self);
    }
}

impl Drop for VfsEnabled {
    fn drop(&mut self) {
        // SAFETY: `as_raw` is valid; the core does nothing if no VF is enabled any more.
        unsafe { bindings::pci_disable_sriov(as_raw(&self.dev)) };
    }
}

/// Calls `f` for every VF of `pf` that is on the bus now.
pub(super) fn for_each_vf(pf: &Device, mut f: impl FnMut(&Device)) {
    const ANY: u32 = bindings::PCI_ANY_ID as u32;
    let mut from = core::ptr::null_mut();
    loop {
        // SAFETY: `from` is null or the last result; its reference passes to the callee.
        from = unsafe { bindings::pci_get_device(ANY, ANY, from) };
        if from.is_null() {
            return;
        }
        // SAFETY: `Device` is transparent over `struct pci_dev`, and the reference that
        // `pci_get_device` took lasts until the next call.
        let dev = unsafe { &*from.cast::<Device>() };
        if dev.index_in(pf).is_some() {
            f(dev);
        }
    }
}

/// Locks VF `vf`, from 0, of the physical function whose lock is held. `ENODEV` if it is not on the
/// bus.
pub fn lock_vf(pf: &DeviceLocked, vf: u16) -> Result<DeviceLocked> {
    let mut found: Option<ARef<Device>> = None;
    for_each_vf(pf.device(), |dev| {
        if dev.index_in(pf.device()) == Some(vf) {
            found = Some(dev.into());
        }
    });
    Ok(DeviceLocked::lock(&*found.ok_or(ENODEV)?))
}

/// A VF's place among those of its physical function.
pub trait VirtualFunction {
    /// The number of this VF, from 0, if it is a VF of `pf`.
    fn index_in(&self, pf: &Device) -> Option<u16>;

    /// Has the system put this VF to sleep before `pf`, and wake it up after it. Ends with the
    /// VF. `ENOMEM` without memory.
    fn sleep_before(&self, pf: &Device) -> Result;
}

impl<Ctx: DeviceContext> VirtualFunction for Device<Ctx> {
    fn index_in(&self, pf: &Device) -> Option<u16> {
        if !self.is_virtfn() {
            return None;
        }
        // SAFETY: `as_raw` is valid, and a VF holds a reference to its physical function.
        let physfn = unsafe { bindings::ext_pci_physfn(as_raw(self)) };
        if physfn != as_raw(pf) {
            return None;
        }
        // SAFETY: `self` is a VF.
        let index = unsafe { bindings::pci_iov_vf_id(as_raw(self)) };
        u16::try_from(index).ok()
    }

    fn sleep_before(&self, pf: &Device) -> Result {
        /// `DL_FLAG_STATELESS`: about power only, not about drivers.
        const STATELESS: u32 = 1;

        // SAFETY: Both devices are valid. The driver core deletes the link with either of them.
        let link = unsafe {
            bindings::device_link_add(
                &raw mut (*as_raw(self)).dev,
                &raw mut (*as_raw(pf)).dev,
                STATELESS,
            )
        };
        if link.is_null() {
            return Err(ENOMEM);
        }
        Ok(())
    }
}
