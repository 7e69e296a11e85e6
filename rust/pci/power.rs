// SPDX-License-Identifier: GPL-2.0

//! Enabling, resetting and probing a PCI function, its power, and its properties.
//!
//! Enabling, resetting and probing sleep; properties are read in any context.

use super::as_raw;
use crate::{
    binding::{
        Binding,
        Claim,
        Exclusive, //
    },
    bindings, //
};
use kernel::{
    device::{
        Bound,
        Core,
        DeviceContext, //
    },
    error::to_result,
    pci::Device,
    prelude::*,
    sync::aref::ARef, //
};

/// A PCI function with its memory space and bus mastering on; disabled when dropped. The end of the
/// device's unbinding waits for that. A device has one such value at a time, or a [`Stopped`].
///
/// # Examples
///
/// ```
/// # use kernel::{device::Bound, pci::Device, prelude::*};
/// # use kernel_ext::pci::DeviceEnabled;
/// /// Starts a device, if need be after a reset. The caller keeps the result in the device's
/// /// `BoundLock`, so that the device is disabled when it is unbound.
/// fn start(
///     dev: &Device<Bound>,
///     mut try_start: impl FnMut(&Device<Bound>) -> Result,
/// ) -> Result<DeviceEnabled> {
///     let mut enabled = DeviceEnabled::new(dev)?;
///     enabled.save_state();
///     if try_start(dev).is_err() {
///         enabled.reset_function()?;
///         // If this fails, too, the device is disabled on return.
///         try_start(dev)?;
///     }
///     Ok(enabled)
/// }
/// ```
///
/// # Invariants
///
/// `dev` is bound, and this value has enabled it, once.
pub struct DeviceEnabled {
    dev: ARef<Device>,
    /// The last field: the device is disabled before another may enable it.
    _claim: Claim,
}

impl DeviceEnabled {
    /// Enables `dev`'s memory space (waking it up if it sleeps) and lets it master the bus. Sleeps.
    ///
    /// `EBUSY` if there is a [`DeviceEnabled`] or a [`Stopped`] of it.
    pub fn new(dev: &Device<Bound>) -> Result<Self> {
        let claim = Binding::of(dev.as_ref())?.claim(Exclusive::Mastering)?;
        // SAFETY: `as_raw` is valid.
        to_result(unsafe { bindings::pci_enable_device_mem(as_raw(dev)) })?;
        // SAFETY: As above.
        unsafe { bindings::pci_set_master(as_raw(dev)) };
        // INVARIANT: Just enabled, and bound as long as there is the claim.
        Ok(Self {
            dev: dev.into(),
            _claim: claim,
        })
    }

    /// Saves the configuration space, to be restored by the PCI core after a reset.
    pub fn save_state(&self) {
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::pci_save_state(as_raw(&self.dev)) };
    }

    /// Resets the function, and restores the configuration space that
    /// [`DeviceEnabled::save_state`] has saved, which stays saved. For one that does not react
    /// otherwise: the driver's reset callbacks are not called. Sleeps for a tenth of a second.
    ///
    /// `ENOTTY` if the function cannot be reset by itself.
    pub fn reset_function(&mut self) -> Result {
        // SAFETY: `as_raw` is valid.
        unsafe { flr(as_raw(&self.dev))? };
        // The PCI core restores it once, and a later reset may need it, too.
        self.save_state();
        Ok(())
    }
}

/// Resets a function, and restores what was saved of its configuration space last.
///
/// # Safety
///
/// `dev` is valid.
unsafe fn flr(dev: *mut bindings::pci_dev) -> Result {
    /// `PCI_RESET_DO_RESET`, as opposed to asking whether the function could be reset.
    const DO_RESET: bool = false;

    // SAFETY: By the contract of this function. Without a saved state, nothing is restored.
    unsafe {
        let reset = to_result(bindings::pcie_reset_flr(dev, DO_RESET));
        bindings::pci_restore_state(dev);
        reset
    }
}

impl Drop for DeviceEnabled {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; undoes the enable count that `new` took.
        unsafe { bindings::pci_disable_device(as_raw(&self.dev)) }
    }
}

/// A PCI function that cannot master the bus, and will not while this value lives: what it may have
/// written to memory it has written, and what it was to read it does not read any more.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Bound, pci::Device, prelude::*};
/// # use kernel_ext::pci::{DeviceEnabled, Stopped};
/// /// Takes back the memory that the device was told of, whether it does what it is told or not.
/// fn stop(dev: &Device<Bound>, enabled: DeviceEnabled, take_back: impl FnOnce(&Stopped)) -> Result {
///     // There can be no `Stopped` before: the device may master the bus.
///     drop(enabled);
///     take_back(&Stopped::new(dev)?);
///     Ok(())
/// }
/// ```
///
/// # Invariants
///
/// `dev` is bound, and its bus mastering was turned off when `_claim` was taken, which
/// [`DeviceEnabled::new`] needs to turn it on. The bit is the PCI core's alone beside that: drivers
/// that turn it on by `kernel::pci` must not use this type.
pub struct Stopped {
    dev: ARef<Device>,
    _claim: Claim,
}

impl Stopped {
    /// Turns the bus mastering of `dev` off, unless it is, and keeps it so. A device that is gone, or
    /// does not answer, is as good. Sleeps when there is no [`DeviceEnabled`] before it.
    ///
    /// `EBUSY` if there is a [`DeviceEnabled`] or a [`Stopped`] of it.
    pub fn new(dev: &Device<Bound>) -> Result<Self> {
        let claim = Binding::of(dev.as_ref())?.claim(Exclusive::Mastering)?;
        // The device answers the write, and its answer does not overtake what it has written before.
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::pci_clear_master(as_raw(dev)) };
        // INVARIANT: Just turned off, and bound as long as there is the claim.
        Ok(Self {
            dev: dev.into(),
            _claim: claim,
        })
    }

    /// Returns the device.
    pub(crate) fn device(&self) -> &Device {
        &self.dev
    }
}

/// Resetting a single function.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Core, pci::Device, prelude::*};
/// # use kernel_ext::pci::FunctionReset;
/// /// Resets a device that another kernel has left running. Called by probe, before the device is
/// /// used.
/// fn quiesce(dev: &Device<Core<'_>>) -> Result {
///     match dev.reset_function() {
///         // It has no such reset: it is to be stopped by its registers.
///         Err(e) if e == ENOTTY => Ok(()),
///         result => result,
///     }
/// }
/// ```
pub trait FunctionReset {
    /// Resets the function and restores its configuration space. Nobody may be using the device;
    /// the driver's reset callbacks are not called. Sleeps for a tenth of a second.
    ///
    /// `ENOTTY` if the function cannot be reset by itself.
    fn reset_function(&self) -> Result;
}

impl FunctionReset for Device<Core<'_>> {
    fn reset_function(&self) -> Result {
        let dev = as_raw(self);
        // SAFETY: `dev` is valid, and its lock is held, as `Core` says.
        unsafe {
            bindings::pci_save_state(dev);
            flr(dev)
        }
    }
}

/// How a function spends the system's sleep. For the suspend callback of its driver.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Core, pci::Device, prelude::*};
/// # use kernel_ext::pci::{DeviceExt, SystemSleep};
/// /// The suspend callback of a driver whose device has a power state of its own.
/// fn suspend(
///     dev: &Device<Core<'_>>,
///     stop: impl FnOnce() -> Result,
///     sleep: impl FnOnce() -> Result,
/// ) -> Result {
///     if !dev.keeps_context() || !dev.has_aspm() || dev.wants_storage_d3() {
///         return stop();
///     }
///     // First: an access to the configuration space could wake the device up.
///     dev.keep_power();
///     sleep().or_else(|_| {
///         // It stays awake, so the PCI core is to turn it off after all.
///         dev.leave_power();
///         stop()
///     })
/// }
/// ```
pub trait SystemSleep {
    /// Returns whether the platform leaves the device its power, and with it its state.
    fn keeps_context(&self) -> bool;

    /// Returns whether the link to the device saves power by itself (ASPM).
    fn has_aspm(&self) -> bool;

    /// Makes the PCI core leave the device in D0 while the system sleeps. Saves the configuration
    /// space, so the device must still be in D0.
    fn keep_power(&self);

    /// Undoes [`SystemSleep::keep_power`], before the system sleeps.
    fn leave_power(&self);
}

impl SystemSleep for Device<Core<'_>> {
    fn keeps_context(&self) -> bool {
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::pci_suspend_retains_context(as_raw(self)) }
    }

    fn has_aspm(&self) -> bool {
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::ext_pcie_aspm_enabled(as_raw(self)) }
    }

    fn keep_power(&self) {
        // SAFETY: `as_raw` is valid, and its lock is held, as `Core` says.
        unsafe { bindings::pci_save_state(as_raw(self)) };
    }

    fn leave_power(&self) {
        // SAFETY: As above. Without a state to load, this only forgets what was saved.
        unsafe { bindings::pci_load_saved_state(as_raw(self), core::ptr::null_mut()) };
    }
}

/// Properties of a PCI function, and its probe, which the kernel crate does not have.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Bound, pci::Device, prelude::*};
/// # use kernel_ext::pci::DeviceExt;
/// /// Returns why the device cannot be reset after a timeout, if so.
/// fn can_be_reset(dev: &Device<Bound>) -> Result {
///     if dev.is_channel_offline() {
///         // Error recovery is going to reset it.
///         return Err(EAGAIN);
///     }
///     // The first reads a flag, the second the device.
///     if dev.is_disconnected() || !dev.is_present() {
///         return Err(ENODEV);
///     }
///     Ok(())
/// }
///
/// /// Has a function probed again whose probe has failed. Called by a work item, as this takes the
/// /// device lock.
/// fn once_more(dev: &Device) {
///     if let Err(e) = dev.reprobe() {
///         dev_warn!(dev, "cannot be probed: {e:?}\n");
///     }
/// }
/// ```
pub trait DeviceExt {
    /// Returns whether the function answers configuration reads. Does not sleep, but accesses the
    /// device.
    fn is_present(&self) -> bool;

    /// Returns whether the function was unplugged, or its link is lost for good.
    fn is_disconnected(&self) -> bool;

    /// Returns whether error recovery has blocked I/O to the function.
    fn is_channel_offline(&self) -> bool;

    /// Returns whether the function is behind an IOMMU.
    fn has_iommu(&self) -> bool;

    /// Returns whether the firmware wants the device in D3 when the system sleeps (ACPI's
    /// StorageD3Enable).
    fn wants_storage_d3(&self) -> bool;

    /// Returns how many VFs the function can have (TotalVFs); 0 unless it is a physical function.
    fn total_vfs(&self) -> u16;

    /// Returns whether the function is an SR-IOV physical function.
    fn is_physfn(&self) -> bool;

    /// Returns whether the function is an SR-IOV virtual function.
    fn is_virtfn(&self) -> bool;

    /// Unbinds the driver of the function, if there is one, and probes the function anew. Takes the
    /// device lock.
    fn reprobe(&self) -> Result;
}

impl<Ctx: DeviceContext> DeviceExt for Device<Ctx> {
    fn is_present(&self) -> bool {
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::pci_device_is_present(as_raw(self)) }
    }

    fn is_disconnected(&self) -> bool {
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::ext_pci_dev_is_disconnected(as_raw(self)) }
    }

    fn is_channel_offline(&self) -> bool {
        // SAFETY: `as_raw` is valid; the field is written once at a time by error recovery.
        let state = unsafe { core::ptr::read_volatile(&raw const (*as_raw(self)).error_state) };
        state != bindings::pci_channel_io_normal
    }

    fn has_iommu(&self) -> bool {
        // SAFETY: `as_raw` is valid; the group is set before a driver is bound, and stays.
        !unsafe { (*as_raw(self)).dev.iommu_group }.is_null()
    }

    fn wants_storage_d3(&self) -> bool {
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::ext_acpi_storage_d3(&raw mut (*as_raw(self)).dev) }
    }

    fn total_vfs(&self) -> u16 {
        // SAFETY: `as_raw` is valid.
        let total = unsafe { bindings::pci_sriov_get_totalvfs(as_raw(self)) };
        u16::try_from(total).unwrap_or(0)
    }

    fn is_physfn(&self) -> bool {
        // SAFETY: `as_raw` is valid; the bit does not change after enumeration. Those beside it do,
        // so there is no reference to them.
        unsafe { bindings::pci_dev::is_physfn_raw(as_raw(self)) != 0 }
    }

    fn is_virtfn(&self) -> bool {
        // SAFETY: As above.
        unsafe { bindings::pci_dev::is_virtfn_raw(as_raw(self)) != 0 }
    }

    fn reprobe(&self) -> Result {
        // SAFETY: `as_raw` is valid; a device that is being removed gets no driver.
        to_result(unsafe { bindings::device_reprobe(&raw mut (*as_raw(self)).dev) })
    }
}
