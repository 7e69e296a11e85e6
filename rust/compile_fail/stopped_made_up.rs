// SPDX-License-Identifier: GPL-2.0

//! The proof that a device does not master the bus is made by turning that off, and by nothing else.
// error: E0451

use kernel::{
    pci::Device,
    sync::aref::ARef, //
};
use kernel_ext::pci::Stopped;

pub fn pretend(dev: ARef<Device>, other: Stopped) -> Stopped {
    Stopped { dev, ..other }
}
