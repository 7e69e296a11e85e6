// SPDX-License-Identifier: GPL-2.0

//! Doorbells in memory, which an emulated controller reads by itself (base specification, section 5.2.5
//! and annex B.5). They save a virtual machine most of its costly register writes.
//!
//! This module has the memory; `control::shadow_doorbells` gives it to the controller. Allocating it
//! sleeps; doorbells are written in any context, each by the owner of its queue.

use crate::spec::{
    admin,
    PAGE_SIZE, //
};
use kernel::{
    device,
    prelude::*,
    sync::{
        barrier::{
            mb,
            Full,
            Write, //
        },
        Arc, //
    },
};
use kernel_ext::{
    dma::{
        Coherent,
        CoherentWord, //
    },
    nvme::{
        AdminCommand,
        NoData, //
    }, //
};

/// The size of each of the two buffers, in dwords: a page of the controller.
const DWORDS: usize = PAGE_SIZE as usize / size_of::<u32>();

/// The doorbells of all queues of a controller, and an event index for each: when the doorbell passes
/// that, the controller wants its register to be written, too.
///
/// Both buffers have the layout of the registers. The host writes the doorbells, the controller the
/// event indices.
pub(crate) struct ShadowDoorbells {
    doorbells: Arc<Coherent<[u32]>>,
    events: Arc<Coherent<[u32]>>,
    /// The distance between doorbells, in dwords.
    stride: usize,
}

/// Allocates one of the buffers.
fn zeroed(dev: &device::Device<device::Bound>) -> Result<Arc<Coherent<[u32]>>> {
    let buffer = Coherent::zeroed_slice(dev, DWORDS, GFP_KERNEL)?;
    Ok(Arc::new(buffer, GFP_KERNEL)?)
}

impl ShadowDoorbells {
    /// Allocates the buffers of a controller whose doorbells are `stride` bytes apart.
    pub(crate) fn new(dev: &device::Device<device::Bound>, stride: usize) -> Result<Arc<Self>> {
        let this = Self {
            doorbells: zeroed(dev)?,
            events: zeroed(dev)?,
            stride: stride / size_of::<u32>(),
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// Returns whether there is room for `pairs` queue pairs.
    pub(crate) fn fits(&self, pairs: usize) -> bool {
        pairs.saturating_mul(2).saturating_mul(self.stride) <= DWORDS
    }

    /// Zeroes both buffers: all queues are empty.
    pub(crate) fn clear(&self) -> Result {
        for i in 0..DWORDS {
            self.doorbells.word(i)?.write(0);
            self.events.word(i)?.write(0);
        }
        Ok(())
    }

    /// Returns the command that gives the buffers to the controller.
    pub(crate) fn command(&self) -> AdminCommand<NoData> {
        admin::doorbell_buffers(self.doorbells.dma_address(), self.events.dma_address())
    }

    /// Returns doorbell `number`, whose register has the value `current`. `EINVAL` if there is none.
    pub(super) fn doorbell(&self, number: usize, current: u16) -> Result<ShadowDoorbell> {
        let index = number.wrapping_mul(self.stride);
        let shadow = ShadowDoorbell {
            doorbell: self.doorbells.word(index)?,
            event: self.events.word(index)?,
            last: current,
        };
        // The event index need not be compared: the register has this value already.
        shadow.doorbell.write(u32::from(current).to_le());
        Ok(shadow)
    }
}

/// A doorbell in memory, and its event index.
pub(super) struct ShadowDoorbell {
    doorbell: CoherentWord,
    event: CoherentWord,
    /// The value that was written last.
    last: u16,
}

impl ShadowDoorbell {
    /// Writes `value`, after all earlier writes to memory. Returns whether it has to be written to the
    /// register, too.
    #[inline(never)]
    pub(super) fn ring(&mut self, value: u16) -> bool {
        mb(Write);
        self.doorbell.write(u32::from(value).to_le());
        // The controller writes the event index, and then reads the doorbell once more before it stops
        // looking. So either it reads the value above, or its event index is read below.
        mb(Full);
        let event = u32::from_le(self.event.read()) as u16;
        passes(event, core::mem::replace(&mut self.last, value), value)
    }
}

/// Returns whether `event`, the value that the controller has seen last, is in the interval
/// [`last`, `value`): then the controller may have stopped looking at the doorbell in memory.
///
/// Indices wrap at the queue's size, the arithmetic at 2^16. That only adds values to the interval that
/// no index takes, so the result is the same.
#[inline]
fn passes(event: u16, last: u16, value: u16) -> bool {
    value.wrapping_sub(event).wrapping_sub(1) < value.wrapping_sub(last)
}

#[kunit_tests(nvme_rs_shadow)]
mod tests {
    use super::*;

    /// Returns whether a queue of `entries` entries passes `event` when its index goes from `last` to
    /// `value`, step by step.
    fn is_on_the_way(entries: u16, event: u16, last: u16, value: u16) -> bool {
        let mut at = last;
        while at != value {
            if at == event {
                return true;
            }
            at = (at + 1) % entries;
        }
        false
    }

    #[test]
    fn register_is_written_if_the_event_index_is_passed() {
        for entries in [2, 3, 8, 13] {
            for event in 0..entries {
                for last in 0..entries {
                    for value in 0..entries {
                        assert_eq!(
                            passes(event, last, value),
                            is_on_the_way(entries, event, last, value)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn largest_queues() {
        assert!(passes(u16::MAX, u16::MAX, 0));
        assert!(passes(u16::MAX - 1, u16::MAX - 2, 1));
        assert!(!passes(0, u16::MAX, 0));
        assert!(!passes(u16::MAX - 1, u16::MAX, 2));
    }
}
