// SPDX-License-Identifier: GPL-2.0

//! How many entries the I/O queues have.
//!
//! All of a controller's I/O queues have the same number of entries, and keep it: the block layer has a
//! tag for each entry but one, and a submission queue must never be full. So the number is chosen when
//! the first I/O queue is allocated, and what the controller says later can only be refused.

use crate::{
    controller::Nvme,
    quirks,
    spec::registers::CAP, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kernel_ext::nvme::{
    Command,
    Controller,
    Quirks, //
};

/// The smallest number of entries that makes up for a shorter queue by having it in the controller's
/// memory.
const FEWEST_IN_CMB: u16 = 64;

/// The I/O queues that are allocated now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Depth {
    /// The number of entries of each queue.
    pub(super) entries: u16,
    /// Whether submission queues are to be in the controller's memory, as long as they fit there.
    pub(super) in_cmb: bool,
}

/// Returns the largest number of entries of the I/O queues of a controller with these capabilities. If
/// there are I/O queues, it is theirs. `EINVAL` if they have more than is allowed now.
pub(super) fn largest(ctrl: &Controller<Nvme>, cap: CAP) -> Result<u16> {
    let data = ctrl.data();
    let id = quirks::id(&data.pdev);
    let depth = quirks::io_queue_depth(id, cap, ctrl.quirks(), data.io_queue_depth);
    let allowed = u16::try_from(depth)?;
    match data.queue_pair(1).map(|queue| queue.entries()) {
        Some(entries) if entries > allowed => {
            dev_err!(
                ctrl.device(),
                "CAP.MQES is {} now, too few for the {entries} entries of the I/O queues\n",
                u16::from(cap.mqes())
            );
            Err(EINVAL)
        }
        Some(entries) => Ok(entries),
        None => Ok(allowed),
    }
}

/// Returns what the I/O queues are to be like, of which the controller is to have `count`, and tells
/// nvme-core. If there are none yet, all of them fit in the controller's memory, or none is to be there.
/// `EINVAL` as for [`largest`].
pub(super) fn choose(ctrl: &Controller<Nvme>, count: u16) -> Result<Depth> {
    let data = ctrl.data();
    let cap = CAP::from(ctrl.capabilities());
    let entries = largest(ctrl, cap)?;
    let size = if ctrl.quirks().contains(Quirks::SQES_128_BYTES) {
        2 * size_of::<Command>()
    } else {
        size_of::<Command>()
    };
    let cmb = data.cmb.as_ref().filter(|cmb| cmb.for_queues().is_some());
    let fitting = cmb.and_then(|cmb| fitting(entries, size, count, cmb.room(), PAGE_SIZE));
    let depth = Depth {
        entries: match (fitting, data.queue_pair(1)) {
            (Some(fitting), None) => fitting,
            _ => entries,
        },
        in_cmb: fitting.is_some(),
    };
    // nvme-core has lowered it to CAP.MQES, but some controllers have more entries than that.
    ctrl.set_capabilities(cap.into_raw(), depth.entries);
    Ok(depth)
}

/// Returns how many entries of `size` bytes each of `count` submission queues can have, `entries` at
/// most, if all of them are to fit in `room` bytes, of which each takes whole pages of `page` bytes.
/// `None` if that is too few.
fn fitting(entries: u16, size: usize, count: u16, room: usize, page: usize) -> Option<u16> {
    let each = room.checked_div(count.into())?;
    // What is left of a page is nobody else's.
    let each = each.saturating_sub(each.checked_rem(page)?);
    if (size * usize::from(entries)).checked_next_multiple_of(page)? <= each {
        return Some(entries);
    }
    let fitting = u16::try_from(each.checked_div(size)?).ok()?;
    (fitting >= FEWEST_IN_CMB).then_some(fitting)
}

#[kunit_tests(nvme_rs_depth)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;
    const PAGE: usize = 4 * KIB;

    #[test]
    fn queues_that_fit_are_not_shortened() {
        assert_eq!(fitting(1024, 64, 4, 256 * KIB, PAGE), Some(1024));
        assert_eq!(fitting(1000, 64, 4, 256 * KIB, PAGE), Some(1000));
        // However few entries they have.
        assert_eq!(fitting(2, 64, 4, 16 * KIB, PAGE), Some(2));
        assert_eq!(fitting(u16::MAX, 128, 1, usize::MAX, PAGE), Some(u16::MAX));
    }

    #[test]
    fn queues_are_shortened_to_fit() {
        // 113.8 KiB for each, of which 112 KiB are whole pages.
        assert_eq!(fitting(2048, 64, 18, 2048 * KIB, PAGE), Some(1792));
        assert_eq!(fitting(2048, 128, 18, 2048 * KIB, PAGE), Some(896));
        // A queue of 1000 entries takes 64000 bytes, 16 pages of the 15 that there are.
        assert_eq!(fitting(1000, 64, 4, 252 * KIB, PAGE), Some(960));
        assert_eq!(fitting(1024, 64, 4, 252 * KIB, 64 * KIB), None);
        assert_eq!(fitting(2048, 64, 3, 256 * KIB, 64 * KIB), Some(1024));
    }

    #[test]
    fn queues_that_would_be_too_short_are_elsewhere() {
        assert_eq!(fitting(1024, 64, 64, 256 * KIB, PAGE), Some(64));
        assert_eq!(fitting(1024, 64, 65, 256 * KIB, PAGE), None);
        assert_eq!(fitting(1024, 128, 64, 256 * KIB, PAGE), None);
        assert_eq!(fitting(2, 64, 4, 12 * KIB, PAGE), None);
        assert_eq!(fitting(1024, 64, 0, 256 * KIB, PAGE), None);
        assert_eq!(fitting(1024, 64, 1, 0, PAGE), None);
    }
}
