// SPDX-License-Identifier: GPL-2.0

//! The doorbells of a queue pair, in a register or in memory (NVMe over PCIe Transport
//! Specification 1.1, section 3.1.2; base specification, annex B.5).

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

/// Where the host tells the controller how far it has come in a queue.
pub(super) struct Doorbell {
    register: pci::Doorbell<MIN_SIZE>,
    /// Its number among all doorbells.
    number: usize,
    shadow: Option<Shadow>,
}

/// A doorbell in memory, which spares most writes to the register.
struct Shadow {
    all: Arc<ShadowDoorbells>,
    /// What was written last.
    last: u16,
}

impl Doorbell {
    /// Number `number` of those in `bar`, which are `stride` bytes apart. `EINVAL` if it is beyond
    /// the end.
    pub(super) fn new(bar: &Arc<Bar0>, number: usize, stride: usize) -> Result<Self> {
        Ok(Self {
            register: bar.doorbell(registers::doorbell(number, stride))?,
            number,
            shadow: None,
        })
    }

    /// Uses the register alone.
    pub(super) fn clear(&mut self) {
        self.shadow = None;
    }

    /// Uses the one in memory too, from now on. The controller knows of `all`, and was told
    /// `current` last.
    pub(super) fn share(&mut self, all: &Arc<ShadowDoorbells>, current: u16) {
        // Nobody writes to the register for the sake of what it has.
        all.write(self.number, current);
        self.shadow = Some(Shadow {
            all: all.clone(),
            last: current,
        });
    }

    /// Tells the controller `value`. What was written to memory before is there before.
    #[inline]
    pub(super) fn ring(&mut self, value: u16) {
        if let Some(shadow) = &mut self.shadow {
            let last = core::mem::replace(&mut shadow.last, value);
            let event = shadow.all.write(self.number, value);
            if !event.is_none_or(|event| passes(event, last, value)) {
                return;
            }
        }
        self.register.ring(u32::from(value));
    }
}

/// Whether the step from `last` to `value` is one past `event`, the value that the controller has
/// seen: then it may have stopped looking.
///
/// All wrap at 2^16. That queues wrap earlier makes the way from `last` to `value` longer by
/// values that no queue has.
#[inline]
fn passes(event: u16, last: u16, value: u16) -> bool {
    value.wrapping_sub(event).wrapping_sub(1) < value.wrapping_sub(last)
}

#[kunit_tests(nvme_rs_doorbell)]
mod tests {
    use super::*;

    /// A queue of `entries` entries: on its way from `last`, `value` comes to the entry behind
    /// `event` or beyond.
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
    fn controller_is_told_if_it_may_wait() {
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
