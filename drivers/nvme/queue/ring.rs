// SPDX-License-Identifier: GPL-2.0

//! The host's index in a ring that it fills for the controller (base specification, section 3.3.1).
//! Arithmetic only: the memory is elsewhere.

use kernel::prelude::*;

/// The tail of a ring that the host fills.
///
/// If the same tail is announced twice, the controller takes the ring for empty. So the tail is
/// announced before it comes round to the one that was announced last.
pub(super) struct Tail {
    entries: u16,
    index: u16,
    /// The tail that was written to the doorbell last.
    announced: u16,
}

impl Tail {
    /// Returns the tail of an empty ring of `entries` entries, which must be at least two.
    pub(super) fn new(entries: u16) -> Self {
        Self {
            entries,
            index: 0,
            announced: 0,
        }
    }

    /// Goes back to the beginning of an empty ring.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.entries);
    }

    /// Returns the index of the next entry to fill; below the number of entries.
    #[inline]
    pub(super) fn index(&self) -> u16 {
        self.index
    }

    /// Returns the tail that there is when one more entry was filled.
    #[inline]
    pub(super) fn next(&self) -> Next {
        Next(after(self.index, self.entries))
    }

    /// Advances to `next`, as an entry was filled.
    #[inline]
    pub(super) fn advance(&mut self, next: Next) {
        self.index = next.0;
    }

    /// Returns whether there are entries that were not announced to the controller.
    #[inline]
    pub(super) fn has_unannounced(&self) -> bool {
        self.index != self.announced
    }

    /// Returns whether the number of entries that were not announced is at its maximum: at `next`,
    /// the tail would equal the announced one, which means "empty" to the controller.
    #[inline]
    pub(super) fn must_announce(&self, next: &Next) -> bool {
        next.0 == self.announced
    }

    /// Returns the tail to write to the doorbell, which announces all entries.
    #[inline]
    pub(super) fn announce(&mut self) -> u16 {
        self.announced = self.index;
        self.index
    }
}

/// The tail behind the next entry.
pub(super) struct Next(u16);

/// Returns the index that follows `index` in a ring of `entries` entries.
#[inline]
fn after(index: u16, entries: u16) -> u16 {
    let next = index.wrapping_add(1);
    if next == entries {
        0
    } else {
        next
    }
}

#[kunit_tests(nvme_rs_ring)]
mod tests {
    use super::*;

    /// Numbers of entries: the smallest, odd ones, powers of two, and the largest.
    const SIZES: [u16; 7] = [2, 3, 7, 8, 32, 1023, u16::MAX];

    /// Returns a number of steps in which an index wraps at least twice.
    fn steps(entries: u16) -> u32 {
        2 * u32::from(entries) + 3
    }

    /// The controller's side of a submission queue: it fetches entries up to the announced tail.
    struct Fetcher {
        entries: u16,
        head: u16,
        fetched: u32,
    }

    impl Fetcher {
        fn doorbell(&mut self, tail: u16) {
            while self.head != tail && tail < self.entries {
                self.head += 1;
                if self.head == self.entries {
                    self.head = 0;
                }
                self.fetched += 1;
            }
        }
    }

    /// Submits through `tail`, announcing when it must before the next and every `batch`th time. Returns how many of
    /// the submitted entries the controller has not fetched in the end; `None` if an entry went
    /// to a wrong place.
    fn unfetched(entries: u16, batch: u32) -> Option<u32> {
        let mut tail = Tail::new(entries);
        let mut controller = Fetcher {
            entries,
            head: 0,
            fetched: 0,
        };
        for i in 0..steps(entries) {
            if Some(u32::from(tail.index())) != i.checked_rem(entries.into()) {
                return None;
            }
            let next = tail.next();
            if tail.must_announce(&next) {
                controller.doorbell(tail.announce());
            }
            tail.advance(next);
            if (i + 1).checked_rem(batch) == Some(0) {
                controller.doorbell(tail.announce());
            }
        }
        if tail.has_unannounced() {
            controller.doorbell(tail.announce());
        }
        Some(steps(entries) - controller.fetched)
    }

    #[test]
    fn every_entry_is_fetched_once() {
        for entries in SIZES {
            assert_eq!(unfetched(entries, 1), Some(0));
            assert_eq!(unfetched(entries, 5), Some(0));
            // Announced only when it must be.
            assert_eq!(unfetched(entries, u32::MAX), Some(0));
        }
    }

    #[test]
    fn announces_no_more_often_than_it_must() {
        for entries in SIZES {
            let mut tail = Tail::new(entries);
            // All but one of the entries can be filled.
            for _ in 0..entries - 2 {
                tail.advance(tail.next());
                assert!(!tail.must_announce(&tail.next()));
                assert!(tail.has_unannounced());
            }
            tail.advance(tail.next());
            assert!(tail.must_announce(&tail.next()));
            assert_eq!(tail.announce(), entries - 1);
            assert!(!tail.has_unannounced());
        }
    }

    #[test]
    fn tail_starts_again() {
        let mut tail = Tail::new(4);
        tail.advance(tail.next());
        tail.announce();
        tail.advance(tail.next());
        tail.reset();
        assert_eq!(tail.index(), 0);
        assert!(!tail.has_unannounced());
    }
}
