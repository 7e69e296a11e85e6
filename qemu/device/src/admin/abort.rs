// SPDX-License-Identifier: GPL-2.0

//! Abort (Base Specification 2.1, section 5.1.1).

use crate::{
    command::{Command, Completion, Status},
    controller::{Answer, Controller},
};

impl Completion {
    /// Returns the entry of an admin command that was aborted.
    fn aborted(identifier: u16) -> Self {
        Completion {
            result: 0,
            head: 0,
            queue: 0,
            identifier,
            status: Status::ABORT_REQUESTED,
        }
    }
}

/// The result of an Abort that has not aborted anything.
const NOT_ABORTED: u32 = 1;

impl Controller {
    /// Aborts a command whose completion is held back.
    pub(super) fn abort(&mut self, command: &Command) -> Answer {
        self.journal.count("aborts");
        let queue = command.dword(10) as u16;
        let identifier = (command.dword(10) >> 16) as u16;
        let found = (self.held.iter())
            .position(|held| held.queue == queue && held.entry.identifier == identifier);
        let Some(index) = found else {
            if queue == 0 && self.events.cancel(identifier) {
                self.journal.count("aborted");
                self.post(0, Completion::aborted(identifier));
                return Ok(Some(0));
            }
            return Ok(Some(NOT_ABORTED));
        };
        self.journal.count("aborted");
        let mut held = self.held.swap_remove(index);
        held.entry.status = Status::ABORT_REQUESTED;
        self.release(held);
        Ok(Some(0))
    }

    /// Aborts what is held back of a submission queue that is deleted.
    pub(super) fn abort_queue(&mut self, queue: u16) {
        let (gone, stay) = (std::mem::take(&mut self.held).into_iter())
            .partition::<Vec<_>, _>(|held| held.queue == queue);
        self.held = stay;
        for mut held in gone {
            held.entry.status = Status::ABORT_REQUESTED;
            self.release(held);
        }
    }
}
