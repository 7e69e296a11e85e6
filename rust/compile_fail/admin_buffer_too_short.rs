// SPDX-License-Identifier: GPL-2.0
//! An admin command gets a buffer as long as what the controller writes: 4096 bytes for Identify.
// error: E0308

use kernel::prelude::*;
use kernel_ext::nvme::{AdminCommand, Controller, Transport};

pub fn identify<T: Transport>(ctrl: &Controller<T>) -> Result {
    let mut buffer = KBox::<[u8; 16]>::zeroed(GFP_KERNEL)?;
    ctrl.admin_command(AdminCommand::new::<0x06>(1), &mut buffer)?;
    Ok(())
}
