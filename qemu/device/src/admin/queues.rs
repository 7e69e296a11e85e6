// SPDX-License-Identifier: GPL-2.0

//! Creation and deletion of I/O queues (Base Specification 2.1, sections 5.2.1 to 5.2.4).

use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
    queues::{CompletionQueue, SubmissionQueue},
};

/// PC: the queue is contiguous.
const CONTIGUOUS: u32 = 1 << 0;
/// IEN, of completion queues: the queue interrupts.
const INTERRUPTS: u32 = 1 << 1;

impl Controller {
    /// Checks what both kinds of queues have in common. Returns identifier and entries.
    fn check_queue(&mut self, command: &Command) -> Result<(u16, u32), Status> {
        let queue = command.dword(10) as u16;
        let size = command.dword(10) >> 16;
        if queue == 0 || queue > self.settings.queues {
            return Err(Status::INVALID_QUEUE_IDENTIFIER);
        }
        if size == 0 || size > u32::from(self.settings.mqes) {
            return Err(Status::INVALID_QUEUE_SIZE);
        }
        if command.dword(11) & CONTIGUOUS == 0 {
            return Err(Status::INVALID_FIELD);
        }
        let base = command.qword(6);
        if base % self.registers.page() != 0 {
            self.journal
                .violation(format!("queue {queue} is at {base:#x}"));
            return Err(Status::PRP_OFFSET_INVALID);
        }
        Ok((queue, size + 1))
    }

    pub(super) fn create_completion_queue(&mut self, command: &Command) -> Answer {
        let (queue, entries) = self.check_queue(command)?;
        if self.completions.contains_key(&queue) {
            return Err(Status::INVALID_QUEUE_IDENTIFIER);
        }
        let flags = command.dword(11);
        let vector = (flags >> 16) as u16;
        if flags & INTERRUPTS != 0 && vector >= self.settings.vectors() {
            return Err(Status::INVALID_VECTOR);
        }
        let vector = (flags & INTERRUPTS != 0).then_some(vector);
        self.completions.insert(
            queue,
            CompletionQueue::new(command.qword(6), entries, vector),
        );
        Ok(Some(0))
    }

    pub(super) fn create_submission_queue(&mut self, command: &Command) -> Answer {
        let (queue, entries) = self.check_queue(command)?;
        if self.submissions.contains_key(&queue) {
            return Err(Status::INVALID_QUEUE_IDENTIFIER);
        }
        let completion = (command.dword(11) >> 16) as u16;
        if completion == 0 || !self.completions.contains_key(&completion) {
            return Err(Status::COMPLETION_QUEUE_INVALID);
        }
        self.submissions.insert(
            queue,
            SubmissionQueue::new(command.qword(6), entries, completion),
        );
        Ok(Some(0))
    }

    pub(super) fn delete_submission_queue(&mut self, command: &Command) -> Answer {
        let queue = command.dword(10) as u16;
        if queue == 0 || self.submissions.remove(&queue).is_none() {
            return Err(Status::INVALID_QUEUE_IDENTIFIER);
        }
        self.abort_queue(queue);
        Ok(Some(0))
    }

    pub(super) fn delete_completion_queue(&mut self, command: &Command) -> Answer {
        let queue = command.dword(10) as u16;
        if queue == 0 || !self.completions.contains_key(&queue) {
            return Err(Status::INVALID_QUEUE_IDENTIFIER);
        }
        if (self.submissions.values()).any(|submission| submission.completion == queue) {
            self.journal
                .violation(format!("completion queue {queue} is deleted, but used"));
            return Err(Status::INVALID_QUEUE_DELETION);
        }
        self.completions.remove(&queue);
        self.waiting.remove(&queue);
        self.update_pin();
        Ok(Some(0))
    }
}
