// SPDX-License-Identifier: GPL-2.0

//! blk-mq: what a driver answers to a request, and how its data is mapped for DMA.
//!
//! C headers: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h),
//! [`include/linux/blk-mq-dma.h`](srctree/include/linux/blk-mq-dma.h)

mod map;
mod status;

pub(crate) use self::map::DataMapping;
pub use self::{
    map::{
        Segment,
        SegmentPool,
        MAX_SEGMENTS, //
    },
    status::{
        Status,
        TimerAction, //
    }, //
};
