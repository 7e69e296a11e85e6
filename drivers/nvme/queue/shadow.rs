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
    io::{
        io_read,
        io_write, //
    },
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
    dma::Coherent,
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
    doorbells: Coherent<[u32]>,
    events: Coherent<[u32]>,
    /// The distance between doorbells, in dwords.
    stride: usize,
}

impl ShadowDoorbells {
    /// Allocates the buffers of a controller whose doorbells are `stride` bytes apart.
    pub(crate) fn new(dev: &device::Device<device::Bound>, stride: usize) -> Result<Arc<Self>> {
        let this = Self {
            doorbells: Coherent::zeroed_slice(dev, DWORDS, GFP_KERNEL)?,
            events: Coherent::zeroed_slice(dev, DWORDS, GFP_KERNEL)?,
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
            io_write!(self.doorbells, [try: i], 0);
            io_write!(self.events, [try: i], 0);
        }
        Ok(())
    }

    /// Returns the command that gives the buffers to the controller.
    pub(crate) fn command(&self) -> AdminCommand<NoData> {
        admin::doorbell_buffers(self.doorbells.dma_address(), self.events.dma_address())
    }

    /// Writes `value` to doorbell `number`, after all earlier writes to memory. Returns the doorbell's
    /// event index; `None` if there is no such doorbell.
    #[inline]
    pub(crate) fn write(&self, number: usize, value: u16) -> Option<u16> {
        self.try_write(number.wrapping_mul(self.stride), value).ok()
    }

    #[inline]
    fn try_write(&self, index: usize, value: u16) -> Result<u16> {
        mb(Write);
        io_write!(self.doorbells, [try: index], u32::from(value).to_le());
        // The controller writes the event index, and then reads the doorbell once more before it stops
        // looking. So either it reads the value above, or its event index is read below.
        mb(Full);
        let event = io_read!(self.events, [try: index]);
        Ok(u32::from_le(event) as u16)
    }
}
