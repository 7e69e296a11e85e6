// SPDX-License-Identifier: GPL-2.0

//! A scope without I/O is a flag of its thread: it cannot end in another one.
// error: E0277

use kernel::prelude::*;
use kernel_ext::{
    alloc::NoIo,
    workqueue::Spawner, //
};

pub fn end_elsewhere(spawner: &Spawner) -> Result {
    let scope = NoIo::new();
    spawner.spawn(move || drop(scope))
}
