// SPDX-License-Identifier: GPL-2.0

//! What queues tell the transport that has them, beside the completion of its requests.

use kernel_ext::nvme::{
    Controller,
    Transport, //
};

/// A transport that has queues.
pub(crate) trait Owner: Transport {
    /// A user's command with this `opcode` is complete in the admin queue of `ctrl`. Any context.
    fn user_command_completed(ctrl: &Controller<Self>, opcode: u8);
}
