// SPDX-License-Identifier: GPL-2.0
//! An admin command that nobody waits for transfers no data: a buffer could go before it.
// error: E0308

use kernel::{prelude::*, sync::Arc};
use kernel_ext::nvme::{AdminCommand, AdminDone, Controller, Transport};

pub fn identify<T: Transport, D: AdminDone>(ctrl: &Controller<T>, done: Arc<D>) -> Result {
    ctrl.admin_command_nowait(AdminCommand::new::<0x06>(1), done)
}
