// SPDX-License-Identifier: GPL-2.0

//! Entries of ID tables for vendors that the kernel crate has no name for.

use kernel::pci::DeviceId;

/// An entry for device `device` of vendor `vendor`, whatever its class.
pub const fn device_id(vendor: u16, device: u16) -> DeviceId {
    DeviceId::from_id(crate::layout::vendor(vendor), device as u32)
}
