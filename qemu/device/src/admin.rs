// SPDX-License-Identifier: GPL-2.0

//! Admin commands.

mod abort;
mod doorbells;
mod events;
mod features;
mod format;
mod host_buffer;
mod identify;
mod logs;
mod queues;

pub use doorbells::Shadow;
pub use events::{AsynchronousEvent, Events};
pub use features::Features;
pub use host_buffer::HostBuffer;

use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
};

/// The opcodes of admin commands.
#[allow(missing_docs)] // The specification's own names.
pub mod opcode {
    pub const DELETE_SUBMISSION_QUEUE: u8 = 0x00;
    pub const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
    pub const GET_LOG_PAGE: u8 = 0x02;
    pub const DELETE_COMPLETION_QUEUE: u8 = 0x04;
    pub const CREATE_COMPLETION_QUEUE: u8 = 0x05;
    pub const IDENTIFY: u8 = 0x06;
    pub const ABORT: u8 = 0x08;
    pub const SET_FEATURES: u8 = 0x09;
    pub const GET_FEATURES: u8 = 0x0a;
    pub const ASYNCHRONOUS_EVENT_REQUEST: u8 = 0x0c;
    pub const KEEP_ALIVE: u8 = 0x18;
    pub const DOORBELL_BUFFER_CONFIG: u8 = 0x7c;
    pub const FORMAT_NVM: u8 = 0x80;

    /// The opcodes of all commands that the controller knows.
    pub const KNOWN: [u8; 13] = [
        DELETE_SUBMISSION_QUEUE,
        CREATE_SUBMISSION_QUEUE,
        GET_LOG_PAGE,
        DELETE_COMPLETION_QUEUE,
        CREATE_COMPLETION_QUEUE,
        IDENTIFY,
        ABORT,
        SET_FEATURES,
        GET_FEATURES,
        ASYNCHRONOUS_EVENT_REQUEST,
        KEEP_ALIVE,
        DOORBELL_BUFFER_CONFIG,
        FORMAT_NVM,
    ];
}

impl Controller {
    /// Obeys an admin command.
    pub(crate) fn admin(&mut self, command: &Command) -> Answer {
        self.journal.count("admin_commands");
        match command.opcode() {
            opcode::DELETE_SUBMISSION_QUEUE => self.delete_submission_queue(command),
            opcode::CREATE_SUBMISSION_QUEUE => self.create_submission_queue(command),
            opcode::GET_LOG_PAGE => self.get_log_page(command),
            opcode::DELETE_COMPLETION_QUEUE => self.delete_completion_queue(command),
            opcode::CREATE_COMPLETION_QUEUE => self.create_completion_queue(command),
            opcode::IDENTIFY => self.identify(command),
            opcode::ABORT => self.abort(command),
            opcode::SET_FEATURES => self.set_features(command),
            opcode::GET_FEATURES => self.get_features(command),
            opcode::ASYNCHRONOUS_EVENT_REQUEST => self.request_event(command),
            opcode::KEEP_ALIVE => Ok(Some(0)),
            opcode::DOORBELL_BUFFER_CONFIG => self.set_shadow(command),
            opcode::FORMAT_NVM => self.format(command),
            _ => Err(Status::INVALID_OPCODE),
        }
    }
}
