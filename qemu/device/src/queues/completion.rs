// SPDX-License-Identifier: GPL-2.0

//! Completion queues.

use super::InvalidValue;

/// The bytes of an entry.
const ENTRY: u64 = 16;

/// A completion queue.
#[derive(Debug)]
pub struct CompletionQueue {
    base: u64,
    entries: u32,
    head: u32,
    tail: u32,
    phase: bool,
    /// Its interrupt vector, if it interrupts.
    pub vector: Option<u16>,
}

impl CompletionQueue {
    /// Returns an empty queue.
    pub fn new(base: u64, entries: u32, vector: Option<u16>) -> Self {
        CompletionQueue {
            base,
            entries,
            head: 0,
            tail: 0,
            phase: true,
            vector,
        }
    }

    /// The host rings the doorbell.
    pub fn ring(&mut self, head: u32) -> Result<(), InvalidValue> {
        if head >= self.entries {
            return Err(InvalidValue(format!("head {head} of {}", self.entries)));
        }
        let distance = |to: u32| (to + self.entries - self.head) % self.entries;
        let (freed, used) = (distance(head), distance(self.tail));
        // A queue that was filled beyond its end by a rule may be read beyond it.
        self.head = head;
        if freed > used {
            return Err(InvalidValue(format!("{freed} entries freed of {used}")));
        }
        Ok(())
    }

    /// Returns whether no entry fits.
    pub fn is_full(&self) -> bool {
        (self.tail + 1) % self.entries == self.head
    }

    /// Returns whether the host has seen all entries.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Returns address and phase of the next entry.
    pub fn next(&self) -> (u64, bool) {
        (self.base + ENTRY * u64::from(self.tail), self.phase)
    }

    /// The next entry has been written.
    pub fn advance(&mut self) {
        self.tail = (self.tail + 1) % self.entries;
        self.phase ^= self.tail == 0;
    }

    /// Returns the head that the controller knows.
    pub fn head(&self) -> u16 {
        self.head as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_changes_at_the_end() {
        let mut queue = CompletionQueue::new(0x1000, 2, None);
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(queue.next());
            queue.advance();
        }
        let expected = [
            (0x1000, true),
            (0x1010, true),
            (0x1000, false),
            (0x1010, false),
            (0x1000, true),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn one_entry_stays_free() {
        let mut queue = CompletionQueue::new(0, 3, None);
        queue.advance();
        assert!(!queue.is_full());
        queue.advance();
        assert!(queue.is_full());
        queue.ring(1).unwrap();
        assert!(!queue.is_full());
        queue.ring(2).unwrap();
        assert!(queue.is_empty());
    }

    #[test]
    fn a_head_that_cannot_be_is_refused() {
        let mut queue = CompletionQueue::new(0, 3, None);
        assert!(queue.ring(3).is_err());
        queue.advance();
        assert!(queue.ring(2).is_err());
    }
}
