// SPDX-License-Identifier: GPL-2.0

//! The lock of PCI rescan and removal is a mutex: it cannot be released by another thread.
// error: E0277

use kernel::{
    pci::Device,
    prelude::*, //
};
use kernel_ext::{
    pci::sriov::RescanLocked,
    workqueue::Spawner, //
};

pub fn release_elsewhere(dev: &Device, spawner: &Spawner) -> Result {
    match RescanLocked::lock_with(dev, || true) {
        Some((lock, _device_lock)) => spawner.spawn(move || drop(lock)),
        None => Ok(()),
    }
}
