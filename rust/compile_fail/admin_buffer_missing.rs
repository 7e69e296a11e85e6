// SPDX-License-Identifier: GPL-2.0
//! An admin command that has the controller write data is not sent without a buffer.
// error: E0308

use kernel::prelude::*;
use kernel_ext::nvme::{AdminCommand, Controller, Transport};

pub fn identify<T: Transport>(ctrl: &Controller<T>) -> Result {
    ctrl.admin_command(AdminCommand::new::<0x06>(1), ())?;
    Ok(())
}
