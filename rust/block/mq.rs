// SPDX-License-Identifier: GPL-2.0

//! blk-mq: what a driver answers to a request, and how its data and metadata are mapped for DMA.
//!
//! Requests are mapped while they are queued, and unmapped when they are completed; neither sleeps.
//!
//! C headers: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h),
//! [`include/linux/blk-mq-dma.h`](srctree/include/linux/blk-mq-dma.h)

use crate::bindings;

mod list;
mod map;
mod mapper;
mod status;

pub(crate) use self::{
    list::RequestList,
    map::{
        Mapping,
        Payload,
        Single, //
    },
    mapper::Mapper, //
};
pub use self::{
    map::Segments,
    mapper::{
        Segment,
        MAX_SEGMENTS, //
    },
    status::{
        Status,
        TimerAction, //
    }, //
};

/// Returns how many queues a device can use: one for each possible CPU that is not isolated from
/// managed interrupts.
pub fn possible_queues() -> u32 {
    // SAFETY: No preconditions; 0 is no limit.
    unsafe { bindings::blk_mq_num_possible_queues(0) }
}
