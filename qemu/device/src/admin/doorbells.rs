// SPDX-License-Identifier: GPL-2.0

//! Doorbell Buffer Config (Base Specification 2.1, section 5.2.5).

use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
    memory::Memory,
    queues::Doorbell,
};

/// The buffers in which the host has shadows of doorbells.
#[derive(Clone, Copy, Debug)]
pub struct Shadow {
    doorbells: u64,
    events: u64,
}

impl Controller {
    pub(super) fn set_shadow(&mut self, command: &Command) -> Answer {
        if !self.settings.shadow_doorbells {
            return Err(Status::INVALID_OPCODE);
        }
        let (doorbells, events) = (command.qword(6), command.qword(8));
        let page = self.registers.page();
        if doorbells % page != 0 || events % page != 0 {
            let what = format!("shadow doorbells are at {doorbells:#x} and {events:#x}");
            self.journal.violation(what);
            return Err(Status::INVALID_FIELD);
        }
        self.shadow = Some(Shadow { doorbells, events });
        Ok(Some(0))
    }

    /// Looks at the shadows, as of doorbells that the host did not ring.
    pub(crate) fn read_shadow(&mut self) {
        let Some(shadow) = self.shadow else { return };
        let tails =
            (self.submissions.iter()).map(|(id, queue)| (Doorbell::Tail(*id), queue.tail()));
        let heads =
            (self.completions.iter()).map(|(id, queue)| (Doorbell::Head(*id), queue.head()));
        let all: Vec<(Doorbell, u16)> = tails.chain(heads).collect();
        for (doorbell, known) in all {
            // The admin queue has no shadows.
            if matches!(doorbell, Doorbell::Tail(0) | Doorbell::Head(0)) {
                continue;
            }
            let at = doorbell.offset(self.settings.stride);
            let mut value = [0; 4];
            if self.memory.read(shadow.doorbells + at, &mut value).is_err() {
                self.journal.violation("shadow doorbells are gone".into());
                self.shadow = None;
                return;
            }
            let value = u32::from_le_bytes(value);
            if value != u32::from(known) {
                self.journal.count("shadows_obeyed");
                self.ring(doorbell, value);
            }
            // The host rings if the shadow passes this value. It never does if this is behind.
            let event = if self.settings.late_doorbells {
                (value as u16).wrapping_sub(1)
            } else {
                value as u16
            };
            let bytes = u32::from(event).to_le_bytes();
            if self.memory.write(shadow.events + at, &bytes).is_err() {
                self.journal.violation("event indices are gone".into());
            }
        }
    }
}
