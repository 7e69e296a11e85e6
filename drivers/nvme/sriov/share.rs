// SPDX-License-Identifier: GPL-2.0

//! What a VF has of the controller's flexible resources, by their kinds.

use crate::spec::virtualization::Resource;

/// The kinds of resources.
pub(super) const KINDS: [Resource; 2] = [Resource::Queue, Resource::Interrupt];

/// The least that a controller needs: an admin and an I/O queue, and one interrupt.
pub(super) fn minimum(kind: Resource) -> u16 {
    match kind {
        Resource::Queue => 2,
        Resource::Interrupt => 1,
    }
}

/// How the kinds are called in messages.
pub(super) fn name(kind: Resource) -> &'static str {
    match kind {
        Resource::Queue => "queue",
        Resource::Interrupt => "interrupt",
    }
}

/// What a VF has; 0 for a kind that the controller does not hand out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) queues: u16,
    pub(super) interrupts: u16,
}

impl Share {
    /// How many of this kind.
    pub(super) fn of(&self, kind: Resource) -> u16 {
        match kind {
            Resource::Queue => self.queues,
            Resource::Interrupt => self.interrupts,
        }
    }

    /// Makes `count` the number of this kind.
    pub(super) fn set(&mut self, kind: Resource, count: u16) {
        match kind {
            Resource::Queue => self.queues = count,
            Resource::Interrupt => self.interrupts = count,
        }
    }
}
