// SPDX-License-Identifier: GPL-2.0

//! What queues report to the transport that they belong to, beside the completion of its requests.

use kernel_ext::nvme::{
    Controller,
    Transport, //
};

/// A transport that has queues.
pub(crate) trait Owner: Transport {
    /// Called when a user's command with this `opcode` has completed in the admin queue of `ctrl`. Any
    /// context.
    fn user_command_completed(ctrl: &Controller<Self>, opcode: u8);
}
