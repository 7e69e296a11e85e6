// SPDX-License-Identifier: GPL-2.0

//! By what a controller's quirks are known.

use kernel::pci::Device;

/// Vendor and device id of a function.
pub(crate) type Id = (u16, u16);

/// The id of `dev`.
pub(crate) fn id(dev: &Device) -> Id {
    (dev.vendor_id().as_raw(), dev.device_id())
}
