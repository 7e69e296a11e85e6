// SPDX-License-Identifier: GPL-2.0

//! The doorbells of a queue pair, in a register or in memory (NVMe over PCIe Transport
//! Specification 1.1, section 3.1.2; base specification, annex B.5).
//!
//! The owner of a queue owns its doorbell, so there is no lock. [`Doorbell::ring`] may be called in any
//! context.

use super::shadow::ShadowDoorbells;
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
    /// The number of the doorbell, see `registers::doorbells`.
    number: usize,
    shadow: Option<Shadow>,
}

/// A doorbell in memory, which saves most writes to the register.
struct Shadow {
    all: Arc<ShadowDoorbells>,
    /// The value that was written last.
    last: u16,
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
    /// `current` is the value that was written to the register last.
    pub(super) fn share(&mut self, all: &Arc<ShadowDoorbells>, current: u16) {
        // The event index need not be compared: the register has this value already.
        all.write(self.number, current);
        self.shadow = Some(Shadow {
            all: all.clone(),
            last: current,
        });
    }

    /// Writes `value` to the doorbell, after all earlier writes to memory.
    #[inline(always)]
    pub(super) fn ring(&mut self, value: u16) {
        // Most controllers have no other doorbell than the register.
        if self.shadow.is_none() || self.write_shadow(value) {
            self.register.ring(u32::from(value));
        }
    }

    /// Writes `value` to the doorbell in memory. Returns whether it has to be written to the register,
    /// too.
    #[inline(never)]
    fn write_shadow(&mut self, value: u16) -> bool {
        let Some(shadow) = &mut self.shadow else {
            return true;
        };
        let last = core::mem::replace(&mut shadow.last, value);
        let event = shadow.all.write(self.number, value);
        event.is_none_or(|event| passes(event, last, value))
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

#[kunit_tests(nvme_rs_doorbell)]
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
