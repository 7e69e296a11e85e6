// SPDX-License-Identifier: GPL-2.0
//! A caller does not decide what an opcode transfers: Get Log Page is as long as it says itself.
// error: E0277

use kernel_ext::nvme::{AdminCommand, NoData};

pub fn log_page() -> AdminCommand<NoData> {
    AdminCommand::new::<0x02>(0x03ff_0002)
}
