// SPDX-License-Identifier: GPL-2.0

//! The hooks of `faults.rs` for modules without device faults on demand: they do nothing, and are
//! inlined, so that they leave no instruction.

use kernel::prelude::*;
use kernel_ext::{
    nvme::{
        Command,
        CompletionRing,
        Entries,
        Transport, //
    },
    sync::rcu::Reader, //
};

/// No files.
pub(crate) struct Files;

impl Files {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        Ok::<_, Error>(Self)
    }
}

#[inline(always)]
pub(crate) fn read32(value: u32) -> u32 {
    value
}

#[inline(always)]
pub(crate) fn read64(value: u64) -> u64 {
    value
}

#[inline(always)]
pub(crate) fn total_vfs(total: u16) -> u16 {
    total
}

#[inline(always)]
pub(crate) fn is_gone() -> bool {
    false
}

#[inline(always)]
pub(crate) fn queue(_qid: u16, _entries: u16) -> Result<(Sent, Received)> {
    Ok((Sent, Received))
}

/// The submission side of a queue.
pub(crate) struct Sent;

impl Sent {
    #[inline(always)]
    pub(crate) fn submit(&self, _command: &Command) {}
}

/// The completion side of a queue.
pub(crate) struct Received;

impl Received {
    #[inline(always)]
    pub(crate) fn entries<'ring, T: Transport>(
        &'ring mut self,
        ring: &'ring mut CompletionRing<T>,
        rcu: Reader<'ring>,
    ) -> Entries<'ring, T> {
        ring.entries(rcu)
    }
}
