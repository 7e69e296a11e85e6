// SPDX-License-Identifier: GPL-2.0

//! Virtualization enhancements (base specification, section 8.2.6): a primary controller's
//! flexible resources, its secondary controllers, and the command that brings them together.

use kernel_ext::nvme::Command;
use zerocopy::{
    little_endian::{
        U16,
        U32, //
    },
    FromBytes, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    KnownLayout, //
};

/// Virtualization Management (section 5.2.6).
const VIRTUALIZATION_MANAGEMENT: u8 = 0x1c;

/// Optional Admin Command Support, of Identify Controller: Virtualization Management.
pub(crate) const OACS_VIRTUALIZATION: u16 = 1 << 7;

/// Identify: Primary Controller Capabilities (CNS 14h).
pub(crate) const CNS_PRIMARY_CAPABILITIES: u8 = 0x14;
/// Identify: Secondary Controller List (CNS 15h).
pub(crate) const CNS_SECONDARY_LIST: u8 = 0x15;

/// A kind of resource (dword 10, bits 10:8, of Virtualization Management).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Resource {
    /// VQ: a submission and completion queue pair.
    Queue = 0,
    /// VI: an interrupt vector.
    Interrupt = 1,
}

/// What to do with a secondary controller (dword 10, bits 3:0, of Virtualization Management).
#[derive(Clone, Copy, Debug)]
enum Action {
    AllocateToPrimary = 1,
    Offline = 7,
    Assign = 8,
    Online = 9,
}

fn manage(cntlid: u16, resource: Resource, action: Action, count: u16) -> Command {
    let dword10 = u32::from(cntlid) << 16 | (resource as u32) << 8 | action as u32;
    Command::new(VIRTUALIZATION_MANAGEMENT)
        .with_dword(10, dword10)
        .with_dword(11, u32::from(count))
}

/// Takes secondary controller `scid` offline.
pub(crate) fn offline(scid: u16) -> Command {
    manage(scid, Resource::Queue, Action::Offline, 0)
}

/// Brings secondary controller `scid` online.
pub(crate) fn online(scid: u16) -> Command {
    manage(scid, Resource::Queue, Action::Online, 0)
}

/// Makes `count` the number of flexible resources that secondary controller `scid` has; it must be
/// offline.
pub(crate) fn assign(scid: u16, resource: Resource, count: u16) -> Command {
    manage(scid, resource, Action::Assign, count)
}

/// Makes `count` the number of flexible resources that the primary controller `cntlid` has itself,
/// from its next function reset on.
pub(crate) fn allocate_to_primary(cntlid: u16, resource: Resource, count: u16) -> Command {
    manage(cntlid, resource, Action::AllocateToPrimary, count)
}

/// Primary Controller Capabilities (figure 320). The structure goes on with reserved bytes.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct PrimaryCapabilities {
    /// Controller Identifier.
    pub(crate) cntlid: U16,
    /// Port Identifier.
    pub(crate) portid: U16,
    /// Controller Resource Types: bit 0 for queues, bit 1 for interrupts.
    pub(crate) crt: u8,
    _reserved5: [u8; 27],
    /// Queue resources.
    pub(crate) queues: ResourceCapabilities,
    /// Interrupt resources.
    pub(crate) interrupts: ResourceCapabilities,
}

const _: () = assert!(size_of::<PrimaryCapabilities>() == 96);

/// The part of [`PrimaryCapabilities`] that is alike for queues (VQ) and interrupts (VI).
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct ResourceCapabilities {
    /// Flexible Resources Total (VQFRT, VIFRT).
    pub(crate) flexible_total: U32,
    /// Flexible Resources Assigned to secondary controllers (VQRFA, VIRFA).
    pub(crate) flexible_assigned: U32,
    /// Flexible Resources Allocated to the Primary controller (VQRFAP, VIRFAP).
    pub(crate) flexible_primary: U16,
    /// Private Resources Total (VQPRT, VIPRT).
    pub(crate) private_total: U16,
    /// Flexible Resources Secondary Maximum (VQFRSM, VIFRSM).
    pub(crate) secondary_max: U16,
    /// Flexible Resource Preferred Granularity (VQGRAN, VIGRAN).
    pub(crate) granularity: U16,
    _reserved16: [u8; 16],
}

/// An entry of the Secondary Controller List (figure 322).
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct SecondaryController {
    /// Secondary Controller Identifier.
    pub(crate) scid: U16,
    /// Primary Controller Identifier.
    pub(crate) pcid: U16,
    /// Secondary Controller State: bit 0 for online.
    pub(crate) scs: u8,
    _reserved5: [u8; 3],
    /// Virtual Function Number, from 1; 0 if the controller is no virtual function.
    pub(crate) vfn: U16,
    /// Number of VQ Flexible Resources Assigned.
    pub(crate) nvq: U16,
    /// Number of VI Flexible Resources Assigned.
    pub(crate) nvi: U16,
    _reserved14: [u8; 18],
}

const _: () = assert!(size_of::<SecondaryController>() == 32);

impl PrimaryCapabilities {
    /// Reads the capabilities out of what Identify returned.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        Self::read_from_prefix(data).ok().map(|(caps, _)| caps)
    }

    /// Whether flexible resources of this kind are supported.
    pub(crate) fn supports(&self, resource: Resource) -> bool {
        self.crt >> (resource as u8) & 1 != 0
    }

    /// The capabilities of this kind of resource.
    pub(crate) fn resource(&self, resource: Resource) -> &ResourceCapabilities {
        match resource {
            Resource::Queue => &self.queues,
            Resource::Interrupt => &self.interrupts,
        }
    }
}

impl SecondaryController {
    /// Whether the controller is online.
    pub(crate) fn is_online(&self) -> bool {
        self.scs & 1 != 0
    }

    /// How many flexible resources of this kind it has.
    pub(crate) fn assigned(&self, resource: Resource) -> u16 {
        match resource {
            Resource::Queue => self.nvq.get(),
            Resource::Interrupt => self.nvi.get(),
        }
    }
}

/// The entries of a Secondary Controller List (figure 321): a count, then from byte 32 on the
/// entries, at most 127. A count beyond that is not believed.
pub(crate) fn secondary_controllers(list: &[u8]) -> impl Iterator<Item = SecondaryController> + '_ {
    let count = list.first().copied().unwrap_or(0).min(127);
    list.get(32..)
        .unwrap_or(&[])
        .chunks_exact(size_of::<SecondaryController>())
        .take(usize::from(count))
        .filter_map(|entry| SecondaryController::read_from_bytes(entry).ok())
}
