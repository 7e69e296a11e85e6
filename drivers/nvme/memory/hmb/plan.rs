// SPDX-License-Identifier: GPL-2.0

//! How much memory a controller gets as its buffer, and in pieces of which size. Arithmetic only.

use crate::spec::hmb::PAGE;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kernel_ext::nvme::HostMemory;

/// The largest piece to allocate, unless the controller wants larger ones.
const LARGEST: u64 = 4 << 20;

/// The smallest size of pieces, in pages of the host: so there are not too many descriptors, and no piece
/// takes much more memory than the controller gets of it.
const SMALLEST: u64 = 2;

/// The buffer that a controller gets; sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The size to allocate if possible.
    pub(super) preferred: u64,
    /// The smallest size that the controller can use.
    pub(super) minimum: u64,
    /// The smallest size to divide the buffer by.
    smallest: u64,
    /// The size of the smallest piece that the controller can use, such as what is left at the end.
    least: u64,
    /// The largest number of pieces.
    pub(super) max_pieces: usize,
}

impl Plan {
    /// Plans the buffer of a controller that `wants` this, with at most `limit` bytes. Returns `None` if
    /// it wants none, `ENOSPC` if it needs more than `limit`.
    pub(crate) fn new(wants: HostMemory, limit: u64) -> Result<Option<Self>> {
        Self::in_pages(wants, limit, PAGE_SIZE as u64)
    }

    /// As [`Plan::new`], for a host with pages of `page` bytes.
    fn in_pages(wants: HostMemory, limit: u64, page: u64) -> Result<Option<Self>> {
        if wants.hmpre == 0 {
            return Ok(None);
        }
        let bytes = |pages: u32| u64::from(pages) * PAGE;
        // A valid HMMIN is not above HMPRE; one that is counts as HMPRE.
        let minimum = bytes(wants.hmmin.min(wants.hmpre));
        let limit = limit - limit % PAGE;
        if minimum.max(PAGE) > limit {
            return Err(ENOSPC);
        }
        Ok(Some(Self {
            preferred: bytes(wants.hmpre).min(limit),
            minimum,
            smallest: bytes(wants.hmminds).max(SMALLEST * page),
            least: bytes(wants.hmminds),
            max_pieces: match wants.hmmaxd {
                0 => usize::MAX,
                max => max.into(),
            },
        }))
    }

    /// Returns the sizes of pieces to try one after the other, in descending order.
    pub(super) fn sizes(self) -> impl Iterator<Item = u64> {
        let smaller = |size: &u64| {
            let below = size.saturating_sub(1).checked_ilog2()?;
            Some(1u64 << below)
        };
        // The whole buffer may be smaller than the smallest piece.
        let smallest = self.smallest.min(self.preferred);
        core::iter::successors(Some(self.preferred.min(LARGEST.max(smallest))), smaller)
            .take_while(move |&size| size >= smallest)
    }

    /// Returns the size of the next piece, if pieces of `size` bytes are allocated and `have` bytes have
    /// been; 0 if there is to be no other.
    pub(super) fn next(self, size: u64, have: u64) -> u64 {
        let left = self.preferred.saturating_sub(have);
        if have > 0 && left < self.least {
            return 0;
        }
        left.min(size)
    }
}

#[kunit_tests(nvme_rs_hmb_plan)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn wants(hmpre: u32, hmmin: u32, hmminds: u32, hmmaxd: u16) -> HostMemory {
        HostMemory {
            hmpre,
            hmmin,
            hmminds,
            hmmaxd,
        }
    }

    /// Returns the pieces of a plan, if all pieces of `size` bytes can be allocated.
    fn pieces(plan: Plan, size: u64) -> (u64, u64) {
        let (mut count, mut have) = (0, 0);
        loop {
            match plan.next(size, have) {
                0 => return (count, have),
                len => have += len,
            }
            count += 1;
        }
    }

    #[test]
    fn nothing_is_wanted_or_possible() {
        assert_eq!(Plan::new(wants(0, 0, 0, 0), MIB), Ok(None));
        assert_eq!(Plan::new(wants(512, 257, 0, 0), MIB), Err(ENOSPC));
        assert_eq!(Plan::new(wants(512, 0, 0, 0), 0), Err(ENOSPC));
    }

    #[test]
    fn limit_counts() {
        let within = Plan::new(wants(256, 256, 0, 0), MIB);
        assert!(matches!(within, Ok(Some(plan)) if plan.preferred == MIB));
        let cut = Plan::new(wants(u32::MAX, 1, 0, 0), 128 * MIB);
        assert!(matches!(cut, Ok(Some(plan)) if plan.preferred == 128 * MIB));
    }

    #[test]
    fn sizes_fall() {
        let Ok(Some(plan)) = Plan::new(wants(4096, 0, 256, 0), 128 * MIB) else {
            return assert!(false);
        };
        assert!(plan.sizes().eq([4 * MIB, 2 * MIB, MIB]));
        let Ok(Some(odd)) = Plan::new(wants(5, 0, 0, 0), MIB) else {
            return assert!(false);
        };
        assert!(odd.sizes().eq([5 * PAGE, 4 * PAGE, 2 * PAGE]));
        let Ok(Some(tiny)) = Plan::new(wants(1, 0, 0, 0), MIB) else {
            return assert!(false);
        };
        assert!(tiny.sizes().eq([PAGE]));
        let Ok(Some(large)) = Plan::new(wants(4096, 0, 2048, 0), 128 * MIB) else {
            return assert!(false);
        };
        assert!(large.sizes().eq([8 * MIB]));
    }

    #[test]
    fn pieces_are_not_too_small() {
        let Ok(Some(plan)) = Plan::new(wants(1000, 0, 64, 0), 128 * MIB) else {
            return assert!(false);
        };
        // 3 of 256 pages, and 232 more.
        assert_eq!(pieces(plan, 256 * PAGE), (4, 1000 * PAGE));
        // 15 of 64 pages; 40 are too few.
        assert_eq!(pieces(plan, 64 * PAGE), (15, 960 * PAGE));
    }

    #[test]
    fn what_is_left_may_be_small() {
        // All of it is needed, and it is one page more than a piece.
        let Ok(Some(plan)) = Plan::new(wants(1025, 1025, 0, 0), 128 * MIB) else {
            return assert!(false);
        };
        assert_eq!(pieces(plan, 4 * MIB), (2, 1025 * PAGE));
    }

    #[test]
    fn pieces_are_not_smaller_than_pages_of_the_host() {
        let large = 64 << 10;
        let Ok(Some(plan)) = Plan::in_pages(wants(256, 0, 0, 0), 128 * MIB, large) else {
            return assert!(false);
        };
        assert!(plan.sizes().eq([MIB, MIB / 2, MIB / 4, 2 * large]));
        let Ok(Some(coarse)) = Plan::in_pages(wants(256, 0, 128, 0), 128 * MIB, large) else {
            return assert!(false);
        };
        assert!(coarse.sizes().eq([MIB, MIB / 2]));
        // One that is smaller is in one piece.
        let Ok(Some(tiny)) = Plan::in_pages(wants(3, 3, 0, 0), 128 * MIB, large) else {
            return assert!(false);
        };
        assert!(tiny.sizes().eq([3 * PAGE]));
        assert_eq!(pieces(tiny, 3 * PAGE), (1, 3 * PAGE));
    }
}
