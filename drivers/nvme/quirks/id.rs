// SPDX-License-Identifier: GPL-2.0

//! The ids by which a controller's quirks are found.

use kernel::pci::Device;

/// Vendor and device id of a function.
pub(crate) type Id = (u16, u16);

/// Returns the id of `dev`.
pub(crate) fn id(dev: &Device) -> Id {
    (dev.vendor_id().as_raw(), dev.device_id())
}
