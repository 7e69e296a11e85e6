// SPDX-License-Identifier: GPL-2.0

//! A function is reset with its device lock held, as in the callbacks of its driver. A bound device
//! is not enough.
// error: E0599

use kernel::{
    device::Bound,
    pci::Device,
    prelude::*, //
};
use kernel_ext::pci::FunctionReset;

pub fn reset(dev: &Device<Bound>) -> Result {
    dev.reset_function()
}
