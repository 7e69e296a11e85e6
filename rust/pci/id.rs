// SPDX-License-Identifier: GPL-2.0

//! Entries of ID tables for vendors that the kernel crate has no name for.

use kernel::pci::DeviceId;

/// Returns an entry for device `device` of vendor `vendor`, of any class.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// # use kernel_ext::pci::device_id;
/// // QEMU's NVMe controller.
/// kernel::pci_device_table!(IDS, (), [(device_id(0x1b36, 0x0010), ())]);
/// ```
pub const fn device_id(vendor: u16, device: u16) -> DeviceId {
    DeviceId::from_id(crate::layout::vendor(vendor), device as u32)
}
