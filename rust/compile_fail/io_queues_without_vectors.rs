// SPDX-License-Identifier: GPL-2.0

//! The block layer maps CPUs to I/O queues by the spread of the vectors, which whoever has it do so
//! must keep meanwhile.
// error: E0061

use kernel::prelude::*;
use kernel_ext::nvme::{
    Controller,
    IoQueues,
    Transport, //
};

pub fn map<T: Transport>(ctrl: &Controller<T>, queues: IoQueues) -> Result {
    ctrl.update_io_queues(queues)
}
