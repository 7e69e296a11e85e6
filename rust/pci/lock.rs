// SPDX-License-Identifier: GPL-2.0

//! The device lock, for code that runs without it: attributes in sysfs, work items.
//!
//! The lock sleeps. It is taken before all locks of a driver, and after that of PCI rescan and
//! removal ([`RescanLocked`](super::sriov::RescanLocked)).

use super::as_raw;
use crate::bindings;
use kernel::{
    pci::Device,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

/// The held lock of a device: no driver is bound to it or taken from it, and none of its callbacks
/// of the PCI core run.
pub struct DeviceLocked {
    dev: ARef<Device>,
    _not_send: NotThreadSafe,
}

impl DeviceLocked {
    /// Takes the lock of `dev` if it is free.
    pub(super) fn try_lock(dev: &Device) -> Option<Self> {
        // SAFETY: `as_raw` is valid.
        let free = unsafe { bindings::ext_device_trylock(&raw mut (*as_raw(dev)).dev) };
        free.then(|| Self::taken(dev))
    }

    /// Waits for the lock of `dev`.
    pub(super) fn lock(dev: &Device) -> Self {
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::ext_device_lock(&raw mut (*as_raw(dev)).dev) };
        Self::taken(dev)
    }

    fn taken(dev: &Device) -> Self {
        Self {
            dev: dev.into(),
            _not_send: NotThreadSafe,
        }
    }

    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.dev
    }

    /// Returns whether a driver is bound to the device, or probes it.
    pub fn has_driver(&self) -> bool {
        // SAFETY: The device is valid; the lock keeps the pointer as it is.
        !unsafe { (*as_raw(&self.dev)).dev.driver }.is_null()
    }
}

impl Drop for DeviceLocked {
    fn drop(&mut self) {
        // SAFETY: This thread took the lock.
        unsafe { bindings::ext_device_unlock(&raw mut (*as_raw(&self.dev)).dev) };
    }
}
