// SPDX-License-Identifier: GPL-2.0

//! The host's index in a completion queue, and the phase tag (base specification, section 3.3.1).
//! Arithmetic only: the memory is elsewhere.

use kernel::prelude::*;

/// The head of a ring that the host empties.
///
/// The controller inverts the phase tag of an entry each time that it writes the entry (section
/// 4.2.4). By that the host recognizes a new entry.
///
/// Before the head is announced, the controller may post no more than the ring has room for, so the head
/// wraps at most once. It is kept from wrapping again: a controller that posts for ever does not keep the
/// host busy for ever.
///
/// # Invariants
///
/// `left` is between 1 and `entries`, if there are entries.
#[derive(Clone)]
pub(super) struct Head {
    entries: u16,
    /// The number of entries from the head to the end of the ring: counting down costs less than
    /// comparing an index.
    left: u16,
    /// The phase tag of new entries in this round, as bit 0.
    phase: u16,
    /// The head that was announced last.
    announced: u16,
    /// Whether the head has wrapped since then.
    has_wrapped: bool,
}

impl Head {
    /// Returns the head of a ring of `entries` entries whose phase tags are all 0.
    pub(super) fn new(entries: u16) -> Self {
        Self {
            entries,
            left: entries,
            phase: 1,
            announced: 0,
            has_wrapped: false,
        }
    }

    /// Goes back to the beginning of a ring whose phase tags are all 0.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.entries);
    }

    /// Returns the number of entries of the ring.
    pub(super) fn entries(&self) -> u16 {
        self.entries
    }

    /// Returns the index of the next entry to take; below the number of entries, if that is not 0.
    #[inline]
    pub(super) fn index(&self) -> u16 {
        self.entries.wrapping_sub(self.left)
    }

    /// Returns the index of the next entry, and in bit 0 the phase tag that it has if it is new.
    #[inline]
    pub(super) fn place(&self) -> u32 {
        u32::from(self.index()) << 1 | u32::from(self.phase)
    }

    /// Returns whether the next entry is new, by its status field, whose bit 0 is the phase tag.
    #[inline]
    pub(super) fn is_new(&self, status: u16) -> bool {
        (status ^ self.phase) & 1 == 0
    }

    /// Advances by one entry, which is taken. `None`, and the head stays where it is, if it would wrap
    /// twice before it is announced.
    #[inline]
    pub(super) fn advance(&mut self) -> Option<Step> {
        let left = self.left.wrapping_sub(1);
        if left != 0 {
            self.left = left;
            return Some(Step::Next);
        }
        if core::mem::replace(&mut self.has_wrapped, true) {
            return None;
        }
        self.left = self.entries;
        self.phase ^= 1;
        Some(Step::First)
    }

    /// Returns the head to write to the doorbell, which announces that all entries before it are free.
    /// `None` if none was taken since the last time.
    #[inline]
    pub(super) fn announce(&mut self) -> Option<u16> {
        let index = self.index();
        let has_moved = index != self.announced || self.has_wrapped;
        self.announced = index;
        self.has_wrapped = false;
        has_moved.then_some(index)
    }
}

/// Where a head that has advanced is.
pub(super) enum Step {
    /// At the entry behind the one that was taken.
    Next,
    /// At the first entry again.
    First,
}

#[kunit_tests(kernel_ext_nvme_head)]
mod tests {
    use super::*;

    /// Numbers of entries: the smallest, odd ones, powers of two, and the largest.
    const SIZES: [u16; 7] = [2, 3, 7, 8, 32, 1023, u16::MAX];

    /// The controller's side of a completion queue: a ring of status fields.
    struct Poster {
        ring: KVec<u16>,
        tail: usize,
        posted: u16,
    }

    impl Poster {
        fn new(entries: u16) -> Result<Self> {
            Ok(Self {
                ring: KVec::from_elem(0, usize::from(entries), GFP_KERNEL)?,
                tail: 0,
                posted: 0,
            })
        }

        /// Posts an entry, whose status is its number, with its phase tag inverted.
        fn post(&mut self) {
            if let Some(status) = self.ring.get_mut(self.tail) {
                *status = self.posted << 1 | (!*status & 1);
            }
            self.posted += 1;
            self.tail += 1;
            if self.tail == self.ring.len() {
                self.tail = 0;
            }
        }

        fn status(&self, index: u16) -> Option<u16> {
            self.ring.get(usize::from(index)).copied()
        }
    }

    /// Returns whether the host takes all entries in order, and no others, if the controller posts
    /// `count` at a time.
    fn takes_all(entries: u16, count: u16) -> Result<bool> {
        let mut controller = Poster::new(entries)?;
        let mut head = Head::new(entries);
        let mut taken = 0;
        while taken < 4 * entries {
            for _ in 0..count {
                controller.post();
            }
            while let Some(status) = controller.status(head.index()) {
                if !head.is_new(status) {
                    break;
                }
                if taken == controller.posted || status >> 1 != taken {
                    return Ok(false);
                }
                if head.advance().is_none() {
                    return Ok(false);
                }
                taken += 1;
            }
            head.announce();
            if taken != controller.posted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    #[test]
    fn every_completion_is_taken_once() -> Result {
        for entries in [2, 3, 7, 8, 32, 1023] {
            assert!(takes_all(entries, 1)?);
            assert!(takes_all(entries, entries / 2)?);
            // As many as the controller may post before it gets a new head.
            assert!(takes_all(entries, entries - 1)?);
        }
        Ok(())
    }

    #[test]
    fn phase_turns_at_the_end_of_the_largest_ring() {
        let mut head = Head::new(u16::MAX);
        for _ in 0..u16::MAX - 1 {
            assert!(head.advance().is_some());
        }
        assert_eq!(head.index(), u16::MAX - 1);
        assert!(head.is_new(1));
        assert!(head.advance().is_some());
        assert_eq!(head.index(), 0);
        assert!(head.is_new(0));
        assert!(!head.is_new(1));
    }

    #[test]
    fn only_bit_0_is_the_phase_tag() {
        let head = Head::new(2);
        assert!(head.is_new(0xffff));
        assert!(!head.is_new(0xfffe));
    }

    #[test]
    fn head_starts_again() {
        let mut head = Head::new(2);
        while head.advance().is_some() {}
        head.reset();
        assert_eq!(head.index(), 0);
        assert!(head.is_new(1));
        assert!(head.advance().is_some() && head.advance().is_some());
    }

    #[test]
    fn a_head_is_announced_if_it_has_moved() {
        let mut head = Head::new(3);
        assert_eq!(head.announce(), None);
        assert!(head.advance().is_some());
        assert_eq!(head.announce(), Some(1));
        assert_eq!(head.announce(), None);
        // More than the controller may post: the head is where it was.
        for _ in 0..3 {
            assert!(head.advance().is_some());
        }
        assert_eq!(head.announce(), Some(1));
    }

    /// Returns how many entries the host takes from `start` on before it announces the head, if there is
    /// always another new one.
    fn taken_at_most(entries: u16, start: u16) -> u32 {
        let mut head = Head::new(entries);
        for _ in 0..start {
            head.advance();
        }
        head.announce();
        let mut taken = 0;
        while taken < 2 * u32::from(entries) && head.advance().is_some() {
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_controller_that_posts_for_ever_is_left_alone() {
        for entries in SIZES {
            for start in [0, entries / 2, entries - 1] {
                let taken = taken_at_most(entries, start);
                // All that the controller may post, wherever that begins, and less than two rounds.
                assert!(taken >= u32::from(entries) - 1);
                assert!(taken < 2 * u32::from(entries));
            }
        }
    }

    #[test]
    fn what_is_left_is_taken_after_the_head_was_announced() {
        let mut head = Head::new(3);
        while head.advance().is_some() {}
        assert_eq!(head.announce(), Some(2));
        assert!(head.is_new(0));
        assert!(head.advance().is_some());
        assert_eq!(head.index(), 0);
        assert!(head.is_new(1));
    }
}
