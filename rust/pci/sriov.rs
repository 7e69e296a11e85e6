// SPDX-License-Identifier: GPL-2.0

//! SR-IOV: enabling and disabling virtual functions (VFs), and finding their physical function.
//!
//! VFs are enabled and disabled under the lock of PCI rescan and removal, which sleeps
//! ([`RescanLocked`]). The number of a VF, and its physical function, are read in any context.

mod rescan;

pub use self::rescan::RescanLocked;
use super::{
    as_raw,
    from_raw,
    DeviceExt,
    DeviceLocked, //
};
use crate::bindings;
use kernel::{
    device::{
        Bound,
        DeviceContext, //
    },
    error::to_result,
    pci::Device,
    prelude::*,
    sync::aref::ARef, //
};

/// A physical function and its VFs.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Core, pci::Device, prelude::*};
/// # use kernel_ext::pci::sriov::{EnableVfs, PhysicalFunction, RescanLocked};
/// /// The `sriov_configure` callback: the PCI core holds the lock that `lock` stands for.
/// fn sriov_configure(
///     dev: &Device<Core<'_>>,
///     count: u16,
///     lock: &RescanLocked,
/// ) -> Result<u16> {
///     if count == 0 {
///         dev.disable_vfs(lock);
///     } else {
///         // Drivers of VFs may be probed in here: hold no lock that their probe takes.
///         dev.enable_vfs(count, lock)?;
///     }
///     Ok(dev.enabled_vfs())
/// }
/// ```
pub trait PhysicalFunction {
    /// Returns how many VFs are enabled; 0 while they are being enabled.
    fn enabled_vfs(&self) -> u16;

    /// Unbinds the VFs' drivers, removes the VFs from the bus and disables them, if any are
    /// enabled. Takes a second, which the specification has a device wait for.
    fn disable_vfs(&self, lock: &RescanLocked);
}

/// A physical function that is bound to a driver.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Bound, pci::Device, prelude::*};
/// # use kernel_ext::pci::sriov::{find_vf, EnableVfs, PhysicalFunction, RescanLocked};
/// /// Enables `count` VFs, or none if one of them cannot be found.
/// fn enable(dev: &Device<Bound>, count: u16, lock: &RescanLocked) -> Result {
///     dev.enable_vfs(count, lock)?;
///     // All are on the bus now; their drivers may still be probing them.
///     for vf in 0..count {
///         if find_vf(dev, vf).is_none() {
///             dev.disable_vfs(lock);
///             return Err(ENODEV);
///         }
///     }
///     Ok(())
/// }
/// ```
pub trait EnableVfs {
    /// Enables `count` VFs and adds them to the bus; their drivers may be probed before this
    /// returns.
    ///
    /// `EAGAIN` if the device is only being added to the bus, or being removed. The PCI core's errors: `ENOSYS` if the function has no SR-IOV capability, `EINVAL` if VFs
    /// are enabled already or `count` is above TotalVFs, `ENOMEM` if VF BARs or bus numbers are
    /// short.
    fn enable_vfs(&self, count: u16, lock: &RescanLocked) -> Result;
}

impl<Ctx: DeviceContext> PhysicalFunction for Device<Ctx> {
    fn enabled_vfs(&self) -> u16 {
        // SAFETY: `as_raw` is valid.
        u16::try_from(unsafe { bindings::pci_num_vf(as_raw(self)) }).unwrap_or(0)
    }

    fn disable_vfs(&self, _lock: &RescanLocked) {
        // SAFETY: `as_raw` is valid, and the rescan lock is held; the core does nothing if no VF is
        // enabled, or the function has no SR-IOV capability.
        unsafe { bindings::pci_disable_sriov(as_raw(self)) };
    }
}

impl EnableVfs for Device<Bound> {
    fn enable_vfs(&self, count: u16, _lock: &RescanLocked) -> Result {
        // `RescanLocked::for_unbind` takes a device with VFs that is not marked for one whose removal
        // has begun. If the mark were not what it is taken for, there would be no VFs at all.
        if !rescan::is_added(self) {
            return Err(EAGAIN);
        }
        // SAFETY: `as_raw` is valid, and the rescan lock is held.
        to_result(unsafe { bindings::pci_enable_sriov(as_raw(self), c_int::from(count)) })
    }
}

/// Returns the physical function of `vf`. `None` if `vf` is no VF.
pub(super) fn physfn<Ctx: DeviceContext>(vf: &Device<Ctx>) -> Option<&Device> {
    if !vf.is_virtfn() {
        return None;
    }
    // SAFETY: `as_raw` is valid, and a VF holds a reference to its physical function.
    Some(unsafe { from_raw(bindings::ext_pci_physfn(as_raw(vf))) })
}

/// Looks for VF `vf`, from 0, of `pf` on the bus.
pub fn find_vf(pf: &Device, vf: u16) -> Option<ARef<Device>> {
    const ANY: u32 = bindings::PCI_ANY_ID as u32;
    let mut from = core::ptr::null_mut();
    let mut found = None;
    loop {
        // SAFETY: `from` is null or the last result; its reference passes to the callee.
        from = unsafe { bindings::pci_get_device(ANY, ANY, from) };
        if from.is_null() {
            return found;
        }
        // SAFETY: The reference that `pci_get_device` took lasts until the next call.
        let dev: &Device = unsafe { from_raw(from) };
        if dev.index_in(pf) == Some(vf) {
            found = Some(dev.into());
        }
    }
}

/// Waits for the device lock of VF `vf`, from 0, of `pf`. `ENODEV` if it is not on the bus.
///
/// The holder of the lock must not wait for the caller.
pub fn lock_vf(pf: &Device, vf: u16) -> Result<DeviceLocked> {
    Ok(DeviceLocked::lock(&*find_vf(pf, vf).ok_or(ENODEV)?))
}

/// A VF's place among those of its physical function.
///
/// # Examples
///
/// ```
/// # use kernel::{pci::Device, prelude::*};
/// # use kernel_ext::pci::{sriov::VirtualFunction, BusEvent};
/// /// Called by a listener on the bus, which hears of all devices, for the physical function `pf`.
/// fn happened(pf: &Device, event: BusEvent, dev: &Device) -> Result {
///     let Some(vf) = dev.index_in(pf) else {
///         return Ok(());
///     };
///     if event == BusEvent::Added {
///         dev_dbg!(pf, "VF {vf} is there\n");
///         // The VF cannot be stopped any more when its physical function sleeps.
///         dev.sleep_before(pf)?;
///     }
///     Ok(())
/// }
/// ```
pub trait VirtualFunction {
    /// Returns the number of this VF, from 0, if it is a VF of `pf`.
    fn index_in(&self, pf: &Device) -> Option<u16>;

    /// Makes the system put this VF to sleep before `pf`, and wake it up after `pf`, until the VF
    /// leaves the bus. `ENOMEM` without memory.
    fn sleep_before(&self, pf: &Device) -> Result;
}

impl<Ctx: DeviceContext> VirtualFunction for Device<Ctx> {
    fn index_in(&self, pf: &Device) -> Option<u16> {
        if !core::ptr::eq(physfn(self)?, pf) {
            return None;
        }
        let (vf, pf) = (as_raw(self), as_raw(pf));
        // SAFETY: Both devices are valid.
        let first = unsafe { bindings::pci_iov_virtfn_devfn(pf, 0) };
        // SAFETY: As above.
        if first != unsafe { bindings::pci_iov_virtfn_devfn(pf, 1) } {
            // SAFETY: As above. VF Stride, which the PCI core divides by, is not 0.
            let index = unsafe { bindings::pci_iov_vf_id(vf) };
            return u16::try_from(index).ok();
        }
        // SAFETY: As above, and a device is on a bus.
        let distance = unsafe { routing_id(vf).checked_sub(routing_id(pf))? };
        // SAFETY: As above.
        let (offset, stride) = unsafe { offset_and_stride(pf)? };
        index(distance, offset, stride)
    }

    fn sleep_before(&self, pf: &Device) -> Result {
        // SAFETY: Both devices are valid. The driver core deletes the link with either of them.
        let link = unsafe {
            bindings::device_link_add(
                &raw mut (*as_raw(self)).dev,
                &raw mut (*as_raw(pf)).dev,
                // About power only, not about drivers.
                bindings::EXT_DL_FLAG_STATELESS,
            )
        };
        if link.is_null() {
            return Err(ENOMEM);
        }
        Ok(())
    }
}

/// Returns the Routing ID of a function: its bus, device and function number.
///
/// # Safety
///
/// `dev` is valid and on a bus.
unsafe fn routing_id(dev: *mut bindings::pci_dev) -> u32 {
    // SAFETY: By the contract of this function.
    unsafe { u32::from((*(*dev).bus).number) << 8 | (*dev).devfn & 0xff }
}

/// Reads First VF Offset and VF Stride of a physical function (SR-IOV, sections 9.3.3.9 and
/// 9.3.3.10).
///
/// # Safety
///
/// `pf` is valid.
unsafe fn offset_and_stride(pf: *mut bindings::pci_dev) -> Option<(u16, u16)> {
    // SAFETY: By the contract of this function.
    let capability =
        unsafe { bindings::pci_find_ext_capability(pf, bindings::PCI_EXT_CAP_ID_SRIOV as c_int) };
    let read = |register: u32| {
        let mut value = 0;
        let offset = c_int::from(capability) + register as c_int;
        // SAFETY: By the contract of this function.
        let ret = unsafe { bindings::pci_read_config_word(pf, offset, &mut value) };
        (capability != 0 && ret == 0).then_some(value)
    };
    let offset = read(bindings::PCI_SRIOV_VF_OFFSET)?;
    Some((offset, read(bindings::PCI_SRIOV_VF_STRIDE)?))
}

/// Returns the number of the VF whose Routing ID is `distance` above its physical function's. A
/// stride of 0 is legal with one VF.
fn index(distance: u32, offset: u16, stride: u16) -> Option<u16> {
    let beyond = distance.checked_sub(u32::from(offset))?;
    match u32::from(stride) {
        0 => (beyond == 0).then_some(0),
        stride if beyond % stride == 0 => u16::try_from(beyond / stride).ok(),
        _ => None,
    }
}

#[kunit_tests(kernel_ext_pci_sriov)]
mod tests {
    use super::*;

    #[test]
    fn vfs_are_a_stride_apart() {
        for (distance, found) in [
            (7, None),
            (8, Some(0)),
            (9, None),
            (10, Some(1)),
            (264, Some(128)),
        ] {
            assert_eq!(index(distance, 8, 2), found);
        }
        assert_eq!(index(u32::MAX, 0, 1), None);
    }

    #[test]
    fn one_vf_needs_no_stride() {
        assert_eq!(index(8, 8, 0), Some(0));
        assert_eq!(index(9, 8, 0), None);
        assert_eq!(index(0, 8, 0), None);
    }
}
