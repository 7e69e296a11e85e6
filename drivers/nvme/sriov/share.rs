// SPDX-License-Identifier: GPL-2.0

//! The share of a VF in the controller's flexible resources, and the kinds of these.

use crate::spec::virtualization::Resource;

/// The kinds of resources.
pub(super) const KINDS: [Resource; 2] = [Resource::Queue, Resource::Interrupt];

/// Returns what a controller needs at least: an admin and an I/O queue, and one interrupt.
pub(super) fn minimum(kind: Resource) -> u16 {
    match kind {
        Resource::Queue => 2,
        Resource::Interrupt => 1,
    }
}

/// Returns the name of a kind in messages.
pub(super) fn name(kind: Resource) -> &'static str {
    match kind {
        Resource::Queue => "queue",
        Resource::Interrupt => "interrupt",
    }
}

/// The resources of a VF; 0 for a kind of which the controller has no flexible ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) queues: u16,
    pub(super) interrupts: u16,
}

impl Share {
    /// Returns the number of this kind.
    pub(super) fn of(&self, kind: Resource) -> u16 {
        match kind {
            Resource::Queue => self.queues,
            Resource::Interrupt => self.interrupts,
        }
    }

    /// Sets the number of this kind to `count`.
    pub(super) fn set(&mut self, kind: Resource, count: u16) {
        match kind {
            Resource::Queue => self.queues = count,
            Resource::Interrupt => self.interrupts = count,
        }
    }
}
