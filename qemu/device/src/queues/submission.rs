// SPDX-License-Identifier: GPL-2.0

//! Submission queues.

use super::InvalidValue;

/// The bytes of an entry.
const ENTRY: u64 = 64;

/// A submission queue.
#[derive(Debug)]
pub struct SubmissionQueue {
    base: u64,
    entries: u32,
    head: u32,
    tail: u32,
    /// The completion queue of its commands.
    pub completion: u16,
}

impl SubmissionQueue {
    /// Returns an empty queue.
    pub fn new(base: u64, entries: u32, completion: u16) -> Self {
        SubmissionQueue {
            base,
            entries,
            head: 0,
            tail: 0,
            completion,
        }
    }

    /// Returns its address.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The host rings the doorbell.
    pub fn ring(&mut self, tail: u32) -> Result<(), InvalidValue> {
        if tail >= self.entries {
            return Err(InvalidValue(format!("tail {tail} of {}", self.entries)));
        }
        self.tail = tail;
        Ok(())
    }

    /// Takes the next command, and returns its address.
    pub fn take(&mut self) -> Option<u64> {
        if self.head == self.tail {
            return None;
        }
        let address = self.base + ENTRY * u64::from(self.head);
        self.head = (self.head + 1) % self.entries;
        Some(address)
    }

    /// Returns the head, for completions.
    pub fn head(&self) -> u16 {
        self.head as u16
    }

    /// Returns the tail that the controller knows.
    pub fn tail(&self) -> u16 {
        self.tail as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_in_order_and_around_the_end() {
        let mut queue = SubmissionQueue::new(0x1000, 3, 1);
        assert_eq!(queue.take(), None);
        queue.ring(2).unwrap();
        assert_eq!(queue.take(), Some(0x1000));
        assert_eq!(queue.take(), Some(0x1040));
        assert_eq!(queue.take(), None);
        queue.ring(1).unwrap();
        assert_eq!(queue.take(), Some(0x1080));
        assert_eq!(queue.take(), Some(0x1000));
        assert_eq!((queue.take(), queue.head()), (None, 1));
    }

    #[test]
    fn a_tail_beyond_the_end_is_refused() {
        let mut queue = SubmissionQueue::new(0, 3, 1);
        assert!(queue.ring(3).is_err());
        assert_eq!(queue.take(), None);
    }
}
