// SPDX-License-Identifier: GPL-2.0

//! Whoever enables VFs has the lock of PCI rescan and removal. Safe code cannot make the proof of
//! it, nor take the lock without regard to other locks.
// error: E0624

use kernel::{
    device::Bound,
    pci::Device,
    prelude::*, //
};
use kernel_ext::pci::sriov::{
    EnableVfs,
    RescanLocked, //
};

pub fn enable(dev: &Device<Bound>) -> Result {
    dev.enable_vfs(1, &RescanLocked::lock())
}
