// SPDX-License-Identifier: GPL-2.0

//! Registers are not accessed without a look whether the device is bound.
// error: E0599

use kernel::{
    io::Io,
    prelude::*, //
};
use kernel_ext::pci::BarMapping;

pub fn read(mapping: &BarMapping<8>) -> Result<u32> {
    mapping.try_read32(0)
}
