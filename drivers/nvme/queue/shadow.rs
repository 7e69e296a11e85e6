// SPDX-License-Identifier: GPL-2.0

//! Doorbells in memory, which an emulated controller looks at by itself (base specification,
//! section 5.2.5 and annex B.5): they spare a virtual machine most of its costly register writes.
//!
//! The memory itself; `control::shadow_doorbells` tells the controller of it.

use crate::spec::{
    admin,
    PAGE_SIZE, //
};
use kernel::{
    device,
    dma::Coherent,
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
use kernel_ext::nvme::Command;

/// What each of the two buffers holds: a page of the controller, in dwords.
const DWORDS: usize = PAGE_SIZE as usize / size_of::<u32>();

/// The doorbells of all queues of a controller, and for each the value from which on the
/// controller wants its register to be written too.
///
/// Both are laid out as the registers are. The host writes the one, the controller the other.
pub(crate) struct ShadowDoorbells {
    doorbells: Coherent<[u32]>,
    events: Coherent<[u32]>,
    /// How far doorbells are apart, in dwords.
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

    /// Whether there is room for `pairs` queue pairs.
    pub(crate) fn fits(&self, pairs: usize) -> bool {
        2 * pairs * self.stride <= DWORDS
    }

    /// Has both say that no queue has come anywhere.
    pub(crate) fn clear(&self) -> Result {
        for i in 0..DWORDS {
            io_write!(self.doorbells, [try: i], 0);
            io_write!(self.events, [try: i], 0);
        }
        Ok(())
    }

    /// The command by which the controller learns of the buffers.
    pub(crate) fn command(&self) -> Command {
        admin::doorbell_buffers(self.doorbells.dma_address(), self.events.dma_address())
    }

    /// Writes `value` to doorbell `number`, after all earlier writes to memory. Returns the last
    /// value that the controller has seen; nothing if there is no such doorbell.
    #[inline]
    pub(crate) fn write(&self, number: usize, value: u16) -> Option<u16> {
        self.try_write(number * self.stride, value).ok()
    }

    #[inline]
    fn try_write(&self, index: usize, value: u16) -> Result<u16> {
        mb(Write);
        io_write!(self.doorbells, [try: index], u32::from(value).to_le());
        // Either the controller finds the value above when it looks for the last time, or we find
        // here that it has.
        mb(Full);
        let event = io_read!(self.events, [try: index]);
        Ok(u32::from_le(event) as u16)
    }
}
