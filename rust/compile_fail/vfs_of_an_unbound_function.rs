// SPDX-License-Identifier: GPL-2.0

//! VFs are enabled by the driver of their physical function, not by anybody who knows the device.
// error: E0599

use kernel::{
    pci::Device,
    prelude::*, //
};
use kernel_ext::pci::sriov::{
    EnableVfs,
    RescanLocked, //
};

pub fn enable(dev: &Device, lock: &RescanLocked) -> Result {
    dev.enable_vfs(1, lock)
}
