// SPDX-License-Identifier: GPL-2.0

//! Registers whose value is changed when the driver reads them.

use super::rule::number;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The changes to one register.
pub(super) struct Bits {
    /// Bits that read as 0, unless in `set`.
    clear: Atomic<u64>,
    /// Bits that read as 1.
    set: Atomic<u64>,
}

impl Bits {
    /// Creates no changes.
    pub(super) const fn new() -> Self {
        Self {
            clear: Atomic::new(0),
            set: Atomic::new(0),
        }
    }

    /// Removes all changes.
    pub(super) fn clear(&self) {
        self.clear.store(0, Relaxed);
        self.set.store(0, Relaxed);
    }

    /// Sets the changes to `clear=MASK set=MASK`; both may be left out.
    pub(super) fn set(&self, masks: &str) -> Result {
        for mask in masks.split_whitespace() {
            match mask.split_once('=').ok_or(EINVAL)? {
                ("clear", bits) => self.clear.store(number(bits)?, Relaxed),
                ("set", bits) => self.set.store(number(bits)?, Relaxed),
                _ => return Err(EINVAL),
            }
        }
        Ok(())
    }

    /// Returns `value` with the changes.
    pub(super) fn read(&self, value: u64) -> u64 {
        value & !self.clear.load(Relaxed) | self.set.load(Relaxed)
    }
}
