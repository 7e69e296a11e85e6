// SPDX-License-Identifier: GPL-2.0

//! The command of a started request goes to a queue once.
// error: E0382

use kernel_ext::nvme::{
    Command,
    Started,
    Transport, //
};

pub fn twice<T: Transport>(started: Started<'_, T>) -> [Command; 2] {
    [started.into_command().0, started.into_command().0]
}
