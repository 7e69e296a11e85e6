// SPDX-License-Identifier: GPL-2.0

//! Completion of commands, honest or by a rule.

use super::{Controller, Held};
use crate::{
    behaviours::Action,
    command::{Completion, Status},
    memory::Memory,
    random::Random,
};
use std::time::{Duration, Instant};

/// Returns a random entry.
fn garbage(random: &mut Random) -> Completion {
    let (one, other) = (random.number(), random.number());
    Completion {
        result: one as u32,
        head: (one >> 32) as u16,
        queue: (one >> 48) as u16,
        identifier: other as u16,
        status: Status((other >> 16) as u16 & 0x7fff),
    }
}

impl Controller {
    /// Completes a command, or does what a rule says instead.
    pub(super) fn complete(&mut self, completion: u16, entry: Completion, action: Option<Action>) {
        let mut entry = entry;
        let mut random = |value: crate::behaviours::Value| value.get(&mut self.random);
        match action {
            Some(Action::Hold) => return self.hold(completion, entry, None),
            Some(Action::Keep) => {
                return self.kept.push(Held {
                    queue: entry.queue,
                    entry,
                    completion,
                    due: None,
                });
            }
            Some(Action::Delay(ms)) => return self.hold(completion, entry, Some(ms)),
            Some(Action::Shuffle(ms)) => {
                let ms = self.random.below(ms + 1);
                return self.hold(completion, entry, Some(ms));
            }
            Some(Action::Repeat(times)) => {
                for _ in 0..times {
                    self.post(completion, entry);
                }
                return;
            }
            Some(Action::Status(value)) => entry.status = Status(random(value) as u16 & 0x7fff),
            Some(Action::Result(value)) => entry.result = random(value) as u32,
            Some(Action::Identifier(value)) => entry.identifier = random(value) as u16,
            Some(Action::Queue(value)) => entry.queue = random(value) as u16,
            Some(Action::Head(value)) => entry.head = random(value) as u16,
            Some(Action::Garbage) => entry = garbage(&mut self.random),
            Some(Action::Extra(value)) => {
                let identifier = random(value) as u16;
                self.post(
                    completion,
                    Completion {
                        identifier,
                        ..entry
                    },
                );
            }
            Some(Action::Similar(bits)) => {
                let identifier = entry.identifier ^ bits;
                self.post(
                    completion,
                    Completion {
                        identifier,
                        ..entry
                    },
                );
            }
            Some(Action::Endless(value)) => {
                let identifier = random(value) as u16;
                self.endless.insert(
                    completion,
                    Completion {
                        identifier,
                        ..entry
                    },
                );
            }
            Some(Action::Flood(times)) => {
                for _ in 0..times {
                    let entry = garbage(&mut self.random);
                    self.force(completion, entry, true);
                    self.interrupt(completion);
                }
            }
            Some(Action::Phase) => {
                self.force(completion, entry, false);
                return self.interrupt(completion);
            }
            Some(Action::Silent) => {
                return self.force(completion, entry, true);
            }
            Some(Action::Coalesce(ms)) => {
                let due = Instant::now() + Duration::from_millis(ms);
                self.interrupts_due.entry(completion).or_insert(due);
                self.place(completion, entry);
                return;
            }
            Some(Action::Split(times)) => {
                self.interrupt(completion);
                self.post(completion, entry);
                for _ in 1..times {
                    self.interrupt(completion);
                }
                return;
            }
            Some(Action::Stray(value)) => {
                let address = random(value);
                let mut bytes = [0; 64];
                self.random.fill(&mut bytes);
                let done = self.memory.write(address, &bytes).is_ok();
                self.journal.count(match done {
                    true => "stray_writes",
                    false => "stray_faults",
                });
            }
            _ => {}
        }
        self.post(completion, entry);
    }

    /// Holds a completion back.
    fn hold(&mut self, completion: u16, entry: Completion, ms: Option<u64>) {
        self.held.push(Held {
            queue: entry.queue,
            entry,
            completion,
            due: ms.map(|ms| Instant::now() + Duration::from_millis(ms)),
        });
    }

    /// Posts a completion that was held back.
    pub(crate) fn release(&mut self, held: Held) {
        self.post(held.completion, held.entry);
    }

    /// Posts the completions that a rule has kept.
    pub fn release_kept(&mut self) {
        for held in std::mem::take(&mut self.kept) {
            self.release(held);
        }
    }

    /// Fills the queues whose entries come without end.
    pub(super) fn flood(&mut self) {
        if self.endless.is_empty() {
            return;
        }
        if !self
            .rules
            .any(|action| matches!(action, Action::Endless(_)))
        {
            return self.endless.clear();
        }
        for (completion, entry) in self.endless.clone() {
            while (self.completions.get(&completion)).is_some_and(|queue| !queue.is_full()) {
                self.force(completion, entry, true);
            }
            self.interrupt(completion);
        }
    }

    /// Posts what is due.
    pub(super) fn release_due(&mut self, now: Instant) {
        let (mut due, stay) = (std::mem::take(&mut self.held).into_iter())
            .partition::<Vec<_>, _>(|held| held.due.is_some_and(|at| at <= now));
        self.held = stay;
        due.sort_by_key(|held| held.due);
        for held in due {
            self.release(held);
        }
        let late = (self.interrupts_due.iter()).filter(|(_, at)| **at <= now);
        for completion in late.map(|(queue, _)| *queue).collect::<Vec<_>>() {
            self.interrupts_due.remove(&completion);
            self.interrupt(completion);
        }
    }

    /// Posts an entry, once there is room.
    pub(crate) fn post(&mut self, completion: u16, entry: Completion) {
        if self.place(completion, entry) {
            self.interrupt(completion);
        }
    }

    /// Posts an entry without an interrupt, and returns true, if there is room. If there is
    /// none, the entry waits for it.
    fn place(&mut self, completion: u16, entry: Completion) -> bool {
        let waiting = self.waiting.entry(completion).or_default();
        let full = (self.completions.get(&completion)).is_some_and(|queue| queue.is_full());
        if full || !waiting.is_empty() {
            waiting.push_back(entry);
            return false;
        }
        self.force(completion, entry, true);
        true
    }

    /// Posts the entries that wait for room.
    pub(super) fn post_waiting(&mut self, completion: u16) {
        while (self.completions.get(&completion)).is_some_and(|queue| !queue.is_full()) {
            let entry = (self.waiting.get_mut(&completion)).and_then(|waiting| waiting.pop_front());
            let Some(entry) = entry else { return };
            self.force(completion, entry, true);
            self.interrupt(completion);
        }
    }

    /// Writes an entry, room or not, with the right phase or the wrong one.
    fn force(&mut self, completion: u16, entry: Completion, right: bool) {
        if !self.space.is_master() {
            return self.journal.count("not_master");
        }
        let Some(queue) = self.completions.get_mut(&completion) else {
            return self.journal.count("orphans");
        };
        let (address, phase) = queue.next();
        queue.advance();
        let bytes = entry.bytes(phase == right);
        // The phase says that the rest is there.
        let done = (self.memory.write(address, &bytes[..12]))
            .and_then(|()| self.memory.write(address + 12, &bytes[12..]));
        if done.is_err() {
            let what = format!("completion queue {completion} is at {address:#x}");
            self.journal.violation(what);
            self.registers.fail();
        }
    }

    /// Interrupts the host for a completion queue, if that is wanted.
    fn interrupt(&mut self, completion: u16) {
        if !self.space.is_master() {
            return;
        }
        let vector = (self.completions.get(&completion)).and_then(|queue| queue.vector);
        if vector.is_some_and(|vector| self.interrupts.send(vector)) {
            self.journal.count("interrupts");
        }
        self.update_pin();
    }

    /// Sends the message of a vector, whether there is a reason or not.
    pub fn interrupt_vector(&mut self, vector: u16) -> bool {
        self.interrupts.send(vector) || self.interrupts.set_level(true)
    }

    /// Sets the level of the pin to what the completion queues make it.
    pub fn update_pin(&mut self) {
        let high =
            (self.completions.values()).any(|queue| queue.vector.is_some() && !queue.is_empty());
        if self.interrupts.set_level(high) {
            self.journal.count("interrupts");
        }
    }
}
