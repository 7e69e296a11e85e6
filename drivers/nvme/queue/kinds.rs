// SPDX-License-Identifier: GPL-2.0

//! The kinds of I/O queues: divides the queues that the controller grants, and their interrupts, among
//! everything, reads and polling, by the module parameters. Arithmetic only.

use crate::parameters;
use kernel::prelude::*;
use kernel_ext::{
    nvme::IoQueues,
    pci::irq::Sets, //
};

/// The numbers of special queues that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueKinds {
    /// The number of queues for everything but reads; 0 if reads have no queues of their own.
    write: u16,
    /// The number of polled queues.
    poll: u16,
}

impl QueueKinds {
    /// Reads the module parameters. If the block layer's tags exist, they are for `kinds` kinds of
    /// queues, and the controller cannot have more.
    pub(crate) fn wanted(kinds: Option<u32>) -> Self {
        let kinds = kinds.unwrap_or(u32::MAX);
        let count = |kind: u32, parameter: u32| {
            if kind <= kinds {
                u16::try_from(parameter).unwrap_or(u16::MAX)
            } else {
                0
            }
        };
        Self {
            write: count(2, parameters::write_queues.value()),
            poll: count(3, parameters::poll_queues.value()),
        }
    }

    /// Returns how many I/O queues to request of the controller, on a machine with `cpus` CPUs.
    pub(crate) fn max_queues(self, cpus: u16) -> u16 {
        cpus.saturating_add(self.write).saturating_add(self.poll)
    }

    /// Returns how many of `queues` I/O queues are polled. At least one is not.
    fn polled(self, queues: u16) -> u16 {
        self.poll.min(queues.saturating_sub(1))
    }

    /// Returns how many interrupt vectors `queues` I/O queues can use.
    pub(crate) fn vectors(self, queues: u16) -> u16 {
        queues.saturating_sub(self.polled(queues))
    }

    /// Divides `vectors` queues with an interrupt into those for everything, or for writes, and those
    /// for reads. If there are two or more, each gets at least one.
    fn divide_vectors(self, vectors: u32) -> (u32, u32) {
        let write = u32::from(self.write);
        if write == 0 || vectors < 2 {
            return (vectors, 0);
        }
        let write = write.min(vectors - 1);
        (write, vectors - write)
    }

    /// Returns the sets of interrupts, `vectors` in all, each of which is spread over all CPUs.
    pub(crate) fn sets(self, vectors: u32) -> Sets {
        let (default, read) = self.divide_vectors(vectors);
        [default, read, 0, 0]
    }

    /// Divides `queues` I/O queues, at least one, with `vectors` interrupts besides the admin queue's.
    /// If there is none, one queue shares the admin queue's interrupt.
    pub(crate) fn divide(self, queues: u16, vectors: u32) -> IoQueues {
        let with_interrupt = vectors.min(self.vectors(queues).into()).max(1);
        let (default, read) = self.divide_vectors(with_interrupt);
        IoQueues {
            // Neither is above `queues`, so the casts are exact.
            default: default as u16,
            read: read as u16,
            poll: self.polled(queues),
            first_vector: (vectors > 0).then_some(1),
        }
    }
}

#[kunit_tests(nvme_rs_queue_kinds)]
mod tests {
    use super::*;

    /// Returns the numbers of default and read queues, of `queues` queues with `vectors` interrupts.
    fn divided(write: u16, queues: u16, vectors: u32) -> (u16, u16) {
        let found = QueueKinds { write, poll: 0 }.divide(queues, vectors);
        (found.default, found.read)
    }

    /// As `divided`, with polled queues, of which `poll` are wanted, and as many interrupts as the
    /// queues can use.
    fn divided_polled(write: u16, poll: u16, queues: u16) -> (u16, u16, u16) {
        let kinds = QueueKinds { write, poll };
        let found = kinds.divide(queues, kinds.vectors(queues).into());
        (found.default, found.read, found.poll)
    }

    #[test]
    fn all_for_everything() {
        assert_eq!(divided(0, 4, 4), (4, 0));
        assert_eq!(divided(0, 4, 9), (4, 0));
        assert_eq!(divided(0, 4, 3), (3, 0));
        assert_eq!(divided(0, 1, 1), (1, 0));
    }

    #[test]
    fn one_interrupt_for_all() {
        for write in [0, 1, 4] {
            assert_eq!(divided(write, 4, 0), (1, 0));
            let kinds = QueueKinds { write, poll: 0 };
            assert_eq!(kinds.divide(4, 0).first_vector, None);
            assert_eq!(kinds.divide(4, 1).first_vector, Some(1));
        }
    }

    #[test]
    fn reads_keep_a_queue() {
        assert_eq!(divided(1, 5, 5), (1, 4));
        assert_eq!(divided(4, 8, 8), (4, 4));
        assert_eq!(divided(4, 8, 5), (4, 1));
        assert_eq!(divided(4, 8, 3), (2, 1));
        assert_eq!(divided(4, 8, 2), (1, 1));
        assert_eq!(divided(4, 8, 1), (1, 0));
        assert_eq!(divided(4, 1, 1), (1, 0));
    }

    #[test]
    fn one_queue_is_not_polled() {
        assert_eq!(divided_polled(0, 2, 6), (4, 0, 2));
        assert_eq!(divided_polled(4, 4, 12), (4, 4, 4));
        assert_eq!(divided_polled(1, 2, 5), (1, 2, 2));
        assert_eq!(divided_polled(4, 4, 5), (1, 0, 4));
        assert_eq!(divided_polled(0, 4, 3), (1, 0, 2));
        assert_eq!(divided_polled(4, 4, 1), (1, 0, 0));
        // Polled queues need no interrupt.
        let kinds = QueueKinds { write: 0, poll: 2 };
        assert_eq!(kinds.divide(6, 0).total(), 3);
        assert_eq!(kinds.divide(6, 2).with_interrupt(), 2);
    }

    #[test]
    fn sets_are_the_queues() {
        for write in [0, 1, 3, 8] {
            for vectors in 1..=9 {
                let kinds = QueueKinds { write, poll: 0 };
                let queues = kinds.divide(9, vectors);
                let [default, read, ..] = kinds.sets(vectors);
                assert_eq!((default, read), (queues.default.into(), queues.read.into()));
            }
        }
    }
}
