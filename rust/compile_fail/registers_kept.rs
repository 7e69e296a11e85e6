// SPDX-License-Identifier: GPL-2.0

//! The registers that `BarMapping::access` lends do not outlive its look whether the device is bound.
// error: lifetime may not live long enough

use kernel::io::{
    Mmio,
    Region, //
};
use kernel_ext::pci::BarMapping;

pub fn keep(mapping: &BarMapping<8>) -> Option<Mmio<'_, Region<8>>> {
    mapping.access(|io| io)
}
