// SPDX-License-Identifier: GPL-2.0

//! Entries of ID tables for vendors that the kernel crate has no name for.

use kernel::pci::{
    DeviceId,
    Vendor, //
};

/// An entry for device `device` of vendor `vendor`, whatever its class.
pub const fn device_id(vendor: u16, device: u16) -> DeviceId {
    // SAFETY: `Vendor` is transparent over `u16`, and the kernel crate makes one of any number that
    // a device reads as.
    let vendor = unsafe { core::mem::transmute::<u16, Vendor>(vendor) };
    DeviceId::from_id(vendor, device as u32)
}
