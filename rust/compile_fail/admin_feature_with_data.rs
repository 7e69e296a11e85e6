// SPDX-License-Identifier: GPL-2.0
//! A feature whose value is more than a dword is not read without a buffer: Host Memory Buffer.
// error: E0277

use kernel_ext::nvme::{AdminCommand, NoData};

pub fn host_memory_buffer() -> AdminCommand<NoData> {
    AdminCommand::feature::<0x0d>()
}
