// SPDX-License-Identifier: GPL-2.0

//! What the I/O queues are for, and which CPU uses which.

use crate::{
    alloc::NoIo,
    bindings, //
};
use kernel::{
    cpu::nr_cpu_ids,
    prelude::*, //
};

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

    /// Returns how many kinds of queues there are: 1, default queues only; 2, read queues, too; 3, polled
    /// queues, too.
    pub(super) fn count_kinds(&self) -> c_uint {
        if self.poll > 0 {
            3
        } else if self.read > 0 {
            2
        } else {
            1
        }
    }

    /// Returns how many maps from CPUs to queues the block layer needs for them.
    ///
    /// Two at least: it never fills the map of a set that has one map again while the number of
    /// queues stays the same. The vectors of a controller that is reset may be spread over the CPUs
    /// otherwise than before, if CPUs went offline meanwhile; with the old map, a CPU would use a
    /// queue whose interrupt is that of an offline CPU, and does not come.
    pub(super) fn count_maps(&self) -> c_uint {
        self.count_kinds().max(2)
    }

    /// Fills the maps of `set` from CPUs to queues.
    ///
    /// # Safety
    ///
    /// `set` is an I/O tag set that the caller sets up or changes. `dev` is valid, and the device
    /// that has the interrupt vectors.
    pub(super) unsafe fn map(
        &self,
        dev: *mut bindings::device,
        set: *mut bindings::blk_mq_tag_set,
    ) {
        // SAFETY: By the contract of this function.
        let (maps, queues) = unsafe { ((*set).nr_maps, (*set).nr_hw_queues) };
        for (kind, offset, count) in self.kinds(maps, queues) {
            // SAFETY: By the contract of this function, and as `kind` is one that the set has a
            // map of. The queues of all maps together are no more than the set's.
            unsafe {
                let map = &raw mut (*set).map[kind as usize];
                (*map).nr_queues = count;
                (*map).queue_offset = offset;
                if count > 0 {
                    self.fill(map, dev, kind);
                }
            }
        }
    }

    /// Returns whether the maps of `set` are what [`IoQueues::map`] would make of them now, with as
    /// many queues of each kind. `false`, too, if there is no memory to find out.
    ///
    /// # Safety
    ///
    /// `set` is an I/O tag set whose maps do not change meanwhile. `dev` is valid, and the device that
    /// has the interrupt vectors.
    pub(super) unsafe fn are_mapped(
        &self,
        dev: *mut bindings::device,
        set: *mut bindings::blk_mq_tag_set,
    ) -> bool {
        // SAFETY: By the contract of this function.
        let (maps, queues) = unsafe { ((*set).nr_maps, (*set).nr_hw_queues) };
        let cpus = nr_cpu_ids() as usize;
        self.kinds(maps, queues).all(|(kind, _, count)| {
            // SAFETY: By the contract of this function; each map of a set has an entry for each CPU.
            let (mut map, old) = unsafe {
                let map = (*set).map[kind as usize];
                (map, core::slice::from_raw_parts(map.mq_map, cpus))
            };
            if count == 0 {
                return true;
            }
            let mut new = KVec::new();
            // The queues may be frozen: memory that is reclaimed must not be written to them.
            let _scope = NoIo::new();
            if new.extend_from_slice(old, GFP_KERNEL).is_err() {
                return false;
            }
            map.mq_map = new.as_mut_ptr();
            // SAFETY: `map` is a copy of a map of the set, with as many entries of its own.
            unsafe { self.fill(&raw mut map, dev, kind) };
            new[..] == *old
        })
    }

    /// Returns number, first queue and count of queues of each kind that a set with `maps` maps and
    /// `queues` queues has: a set that was made for fewer kinds, or cannot have so many queues, has
    /// no more than that.
    fn kinds(&self, maps: u32, queues: u32) -> impl Iterator<Item = (u32, u32, u32)> {
        [
            (bindings::hctx_type_HCTX_TYPE_DEFAULT, self.default.max(1)),
            (bindings::hctx_type_HCTX_TYPE_READ, self.read),
            (bindings::hctx_type_HCTX_TYPE_POLL, self.poll),
        ]
        .into_iter()
        .filter(move |&(kind, _)| kind < maps)
        .scan(0, move |offset: &mut u32, (kind, count)| {
            let first = *offset;
            let count = u32::from(count).min(queues.saturating_sub(first));
            *offset = first.wrapping_add(count);
            Some((kind, first, count))
        })
    }

    /// Has each CPU use one of the queues of `map`, which are of `kind`: that whose interrupt it has,
    /// if they have interrupts of their own.
    ///
    /// # Safety
    ///
    /// `map` is valid, has queues, and an entry for each CPU; no one else accesses it meanwhile. `dev` is
    /// valid, and the device that has the interrupt vectors.
    unsafe fn fill(
        &self,
        map: *mut bindings::blk_mq_queue_map,
        dev: *mut bindings::device,
        kind: u32,
    ) {
        // SAFETY: By the contract of this function.
        unsafe {
            match self.first_vector {
                Some(first) if kind != bindings::hctx_type_HCTX_TYPE_POLL => {
                    let vector = first.wrapping_add((*map).queue_offset);
                    bindings::blk_mq_map_hw_queues(map, dev, vector);
                }
                _ => bindings::blk_mq_map_queues(map),
            }
        }
    }
}
