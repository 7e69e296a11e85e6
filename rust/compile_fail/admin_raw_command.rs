// SPDX-License-Identifier: GPL-2.0
//! A submission queue entry whose type does not say what it transfers is no admin command to send.
// error: E0308

use kernel::prelude::*;
use kernel_ext::nvme::{Command, Controller, Transport};

pub fn identify<T: Transport>(ctrl: &Controller<T>) -> Result {
    ctrl.admin_command(Command::new(0x06).with_dword(10, 1), ())?;
    Ok(())
}
