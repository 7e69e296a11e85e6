// SPDX-License-Identifier: GPL-2.0

//! nvme-core's calls into a transport (`struct nvme_ctrl_ops`).

use super::{
    attributes::Groups,
    Controller,
    Transport, //
};
use crate::bindings;
use kernel::{
    error::from_result,
    module::this_module,
    prelude::*, //
};

/// The operations of transport `T`.
pub(super) fn vtable<T: Transport>() -> bindings::nvme_ctrl_ops {
    bindings::nvme_ctrl_ops {
        name: T::NAME.as_char_ptr(),
        module: this_module::<T::OwnerModule>().as_ptr(),
        flags: bindings::NVME_F_METADATA_SUPPORTED,
        dev_attr_groups: core::ptr::from_ref(Groups::<T>::LIST).cast_mut().cast(),
        reg_read32: Some(read32_callback::<T>),
        reg_write32: Some(write32_callback::<T>),
        reg_read64: Some(read64_callback::<T>),
        free_ctrl: Some(free_callback::<T>),
        submit_async_event: Some(async_event_callback::<T>),
        subsystem_reset: Some(subsystem_reset_callback::<T>),
        get_address: Some(address_callback::<T>),
        print_device_info: Some(print_device_info_callback::<T>),
        supports_pci_p2pdma: Some(p2pdma_callback::<T>),
        get_virt_boundary: Some(virt_boundary_callback::<T>),
        ..Default::default()
    }
}

/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T` and a place for the value.
unsafe extern "C" fn read32_callback<T: Transport>(
    ctrl: *mut bindings::nvme_ctrl,
    offset: u32,
    value: *mut u32,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ctrl = unsafe { Controller::<T>::from_raw(ctrl) };
    from_result(|| {
        let read = T::read32(ctrl, offset)?;
        // SAFETY: By the contract of this function.
        unsafe { value.write(read) };
        Ok(0)
    })
}

/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T`.
unsafe extern "C" fn write32_callback<T: Transport>(
    ctrl: *mut bindings::nvme_ctrl,
    offset: u32,
    value: u32,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ctrl = unsafe { Controller::<T>::from_raw(ctrl) };
    from_result(|| T::write32(ctrl, offset, value).map(|()| 0))
}

/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T` and a place for the value.
unsafe extern "C" fn read64_callback<T: Transport>(
    ctrl: *mut bindings::nvme_ctrl,
    offset: u32,
    value: *mut u64,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ctrl = unsafe { Controller::<T>::from_raw(ctrl) };
    from_result(|| {
        let read = T::read64(ctrl, offset)?;
        // SAFETY: By the contract of this function.
        unsafe { value.write(read) };
        Ok(0)
    })
}

/// # Safety
///
/// Only called by nvme-core, once, when the last reference to the controller is gone.
unsafe extern "C" fn free_callback<T: Transport>(ctrl: *mut bindings::nvme_ctrl) {
    // SAFETY: By the contract of this function.
    unsafe { Controller::<T>::free(ctrl) };
}

/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T`.
unsafe extern "C" fn async_event_callback<T: Transport>(ctrl: *mut bindings::nvme_ctrl) {
    // SAFETY: By the contract of this function.
    T::submit_async_event(unsafe { Controller::<T>::from_raw(ctrl) });
}

/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T`.
unsafe extern "C" fn subsystem_reset_callback<T: Transport>(
    ctrl: *mut bindings::nvme_ctrl,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ctrl = unsafe { Controller::<T>::from_raw(ctrl) };
    from_result(|| T::reset_subsystem(ctrl).map(|()| 0))
}

/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T`.
unsafe extern "C" fn print_device_info_callback<T: Transport>(ctrl: *mut bindings::nvme_ctrl) {
    // SAFETY: By the contract of this function.
    T::print_device_info(unsafe { Controller::<T>::from_raw(ctrl) });
}

/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T` and `size` bytes at `buf`.
unsafe extern "C" fn address_callback<T: Transport>(
    ctrl: *mut bindings::nvme_ctrl,
    buf: *mut c_char,
    size: c_int,
) -> c_int {
    // SAFETY: By the contract of this function.
    let ctrl = unsafe { Controller::<T>::from_raw(ctrl) };
    let name = ctrl.parent().name();
    let size = usize::try_from(size).unwrap_or(0);
    // SAFETY: By the contract of this function; `name` is a C string.
    unsafe { bindings::snprintf(buf, size, c"%s\n".as_char_ptr(), name.as_char_ptr()) }
}

/// Requests may have the memory of PCI devices as data where the DMA operations of the controller's
/// device know how to map it, as [`block::mq`](crate::block::mq) does.
///
/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T`.
unsafe extern "C" fn p2pdma_callback<T: Transport>(ctrl: *mut bindings::nvme_ctrl) -> bool {
    // SAFETY: By the contract of this function.
    let ctrl = unsafe { Controller::<T>::from_raw(ctrl) };
    // SAFETY: The device is valid.
    unsafe { bindings::dma_pci_p2pdma_supported(ctrl.dma_device()) }
}

/// PRP lists cannot have gaps within a page (base specification, section 4.1.1); SGLs can.
///
/// # Safety
///
/// Only called by nvme-core, with a controller of transport `T`.
unsafe extern "C" fn virt_boundary_callback<T: Transport>(
    ctrl: *mut bindings::nvme_ctrl,
    is_admin: bool,
) -> c_ulong {
    // SAFETY: By the contract of this function.
    let ctrl = unsafe { Controller::<T>::from_raw(ctrl) };
    if ctrl.has_sgls() && !is_admin {
        0
    } else {
        (bindings::NVME_CTRL_PAGE_SIZE - 1) as c_ulong
    }
}
