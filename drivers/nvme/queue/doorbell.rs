// SPDX-License-Identifier: GPL-2.0

//! The doorbells of a queue pair, in a register or in memory (NVMe over PCIe Transport
//! Specification 1.1, section 3.1.2; base specification, annex B.5).
//!
//! The owner of a queue owns its doorbell, so there is no lock. [`Doorbell::ring`] may be called in any
//! context.

use super::shadow::{
    ShadowDoorbell,
    ShadowDoorbells, //
};
use crate::{
    bar::{
        Bar0,
        MIN_SIZE, //
    },
    spec::registers, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::pci;

/// The doorbell of one queue, to which the host writes the queue's tail or head.
pub(super) struct Doorbell {
    register: pci::Doorbell<MIN_SIZE>,
    /// The number of the doorbell, see `registers::doorbell`.
    number: usize,
    /// The doorbell in memory, which saves most writes to the register.
    shadow: Option<ShadowDoorbell>,
}

impl Doorbell {
    /// Creates doorbell `number` of `bar`, where doorbells are `stride` bytes apart. `EINVAL` if it is
    /// beyond the end.
    pub(super) fn new(bar: &Arc<Bar0>, number: usize, stride: usize) -> Result<Self> {
        Ok(Self {
            register: bar.doorbell(registers::doorbell(number, stride))?,
            number,
            shadow: None,
        })
    }

    /// Uses only the register from now on.
    pub(super) fn clear(&mut self) {
        self.shadow = None;
    }

    /// Uses the doorbell in `all`, too, from now on. The controller must have been given `all`.
    /// `current` is the value that was written to the register last. `EINVAL` if `all` has no such
    /// doorbell.
    pub(super) fn share(&mut self, all: &ShadowDoorbells, current: u16) -> Result {
        self.shadow = Some(all.doorbell(self.number, current)?);
        Ok(())
    }

    /// Writes `value` to the doorbell, after all earlier writes to memory.
    #[inline(always)]
    pub(super) fn ring(&mut self, value: u16) {
        // Most controllers have no other doorbell than the register.
        if self.shadow.as_mut().is_none_or(|shadow| shadow.ring(value)) {
            self.register.ring(u32::from(value));
        }
    }
}
