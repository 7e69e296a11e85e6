// SPDX-License-Identifier: GPL-2.0

//! What the I/O queues are for, and which CPU uses which.

use super::{
    Controller,
    Transport, //
};
use crate::bindings;
use kernel::prelude::*;

/// How many I/O queues there are for what. Their ids are in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoQueues {
    /// For everything that there is no other queue for; above zero if there are queues at all.
    pub default: u16,
    /// For reads.
    pub read: u16,
    /// For requests that their submitters poll for.
    pub poll: u16,
    /// The interrupt vector of the first queue, if each queue that is not polled has one, in
    /// order, those of each kind spread over the CPUs. Else queues are shared out without regard
    /// to interrupts, as polled ones are anyway.
    pub first_vector: Option<u32>,
}

impl IoQueues {
    /// How many queues there are in all.
    pub fn total(&self) -> u16 {
        self.with_interrupt().saturating_add(self.poll)
    }

    /// How many are not polled; they come before those that are.
    pub fn with_interrupt(&self) -> u16 {
        self.default.saturating_add(self.read)
    }

    /// How many maps from CPUs to queues the block layer needs for them.
    pub(super) fn maps(&self) -> c_uint {
        if self.poll > 0 {
            3
        } else if self.read > 0 {
            2
        } else {
            1
        }
    }

    /// Fills the maps of `set` from CPUs to queues.
    ///
    /// # Safety
    ///
    /// `set` is the I/O tag set of `ctrl`, being set up or changed by the caller.
    pub(super) unsafe fn map<T: Transport>(
        &self,
        ctrl: &Controller<T>,
        set: *mut bindings::blk_mq_tag_set,
    ) {
        // A set that was made for fewer kinds, or cannot have so many queues, has no more than
        // this.
        // SAFETY: By the contract of this function.
        let (maps, mut left) = unsafe { ((*set).nr_maps, (*set).nr_hw_queues) };
        let kinds = [
            (bindings::hctx_type_HCTX_TYPE_DEFAULT, self.default.max(1)),
            (bindings::hctx_type_HCTX_TYPE_READ, self.read),
            (bindings::hctx_type_HCTX_TYPE_POLL, self.poll),
        ];
        let mut offset = 0;
        for (kind, count) in kinds.into_iter().filter(|&(kind, _)| kind < maps) {
            let count = u32::from(count).min(left);
            // SAFETY: By the contract of this function, and as `kind` is one that the set has a
            // map of. The queues of all maps together are no more than the set's.
            unsafe {
                let map = &raw mut (*set).map[kind as usize];
                (*map).nr_queues = count;
                (*map).queue_offset = offset;
                match self.first_vector {
                    _ if count == 0 => {}
                    Some(first) if kind != bindings::hctx_type_HCTX_TYPE_POLL => {
                        bindings::blk_mq_map_hw_queues(
                            map,
                            ctrl.dma_device(),
                            first.wrapping_add(offset),
                        )
                    }
                    _ => bindings::blk_mq_map_queues(map),
                }
            }
            offset = offset.wrapping_add(count);
            left = left.wrapping_sub(count);
        }
    }
}
