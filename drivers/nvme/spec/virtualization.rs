// SPDX-License-Identifier: GPL-2.0

//! Virtualization enhancements (base specification, section 8.2.6): a primary controller's flexible
//! resources, its secondary controllers, and the command that assigns the ones to the others.

use kernel::prelude::*;
use kernel_ext::nvme::{
    AdminCommand,
    NoData, //
};
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

/// Returns whether an admin command with `opcode` is Virtualization Management.
pub(crate) fn is_management(opcode: u8) -> bool {
    opcode == VIRTUALIZATION_MANAGEMENT
}

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

fn manage(cntlid: u16, resource: Resource, action: Action, count: u16) -> AdminCommand<NoData> {
    let dword10 = u32::from(cntlid) << 16 | (resource as u32) << 8 | action as u32;
    AdminCommand::new::<VIRTUALIZATION_MANAGEMENT>(dword10).with_dword::<11>(u32::from(count))
}

/// Takes secondary controller `scid` offline.
pub(crate) fn offline(scid: u16) -> AdminCommand<NoData> {
    manage(scid, Resource::Queue, Action::Offline, 0)
}

/// Brings secondary controller `scid` online.
pub(crate) fn online(scid: u16) -> AdminCommand<NoData> {
    manage(scid, Resource::Queue, Action::Online, 0)
}

/// Sets the number of flexible resources of secondary controller `scid`, which must be offline, to
/// `count`.
pub(crate) fn assign(scid: u16, resource: Resource, count: u16) -> AdminCommand<NoData> {
    manage(scid, resource, Action::Assign, count)
}

/// Sets the number of flexible resources that the primary controller `cntlid` keeps for itself to
/// `count`, from its next function reset on.
pub(crate) fn allocate_to_primary(
    cntlid: u16,
    resource: Resource,
    count: u16,
) -> AdminCommand<NoData> {
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

/// The part of [`PrimaryCapabilities`] that has the same format for queues (VQ) and interrupts (VI).
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
    /// Returns the capabilities in `data`, which Identify returned; `None` if it is too short.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        Self::read_from_prefix(data).ok().map(|(caps, _)| caps)
    }

    /// Returns whether the controller has flexible resources of this kind.
    pub(crate) fn supports(&self, resource: Resource) -> bool {
        self.crt >> (resource as u8) & 1 != 0
    }

    /// Returns the capabilities of this kind of resource.
    pub(crate) fn resource(&self, resource: Resource) -> &ResourceCapabilities {
        match resource {
            Resource::Queue => &self.queues,
            Resource::Interrupt => &self.interrupts,
        }
    }
}

impl SecondaryController {
    /// Returns whether the controller is online.
    pub(crate) fn is_online(&self) -> bool {
        self.scs & 1 != 0
    }

    /// Returns how many flexible resources of this kind are assigned to the controller.
    pub(crate) fn assigned(&self, resource: Resource) -> u16 {
        match resource {
            Resource::Queue => self.nvq.get(),
            Resource::Interrupt => self.nvi.get(),
        }
    }
}

/// Returns the entries of a Secondary Controller List (figure 321): a count, then from byte 32 on the
/// entries, at most 127. A count above that is taken for 127.
pub(crate) fn secondary_controllers(list: &[u8]) -> impl Iterator<Item = SecondaryController> + '_ {
    let count = list.first().copied().unwrap_or(0).min(127);
    list.get(32..)
        .unwrap_or(&[])
        .chunks_exact(size_of::<SecondaryController>())
        .take(usize::from(count))
        .filter_map(|entry| SecondaryController::read_from_bytes(entry).ok())
}

#[kunit_tests(nvme_rs_virtualization)]
mod tests {
    use super::*;

    /// Returns bytes whose value is their index.
    fn counted() -> [u8; 256] {
        let mut data = [0; 256];
        for (byte, i) in data.iter_mut().zip(0..=u8::MAX) {
            *byte = i;
        }
        data
    }

    #[test]
    fn capabilities_are_where_the_specification_has_them() -> Result {
        let caps = PrimaryCapabilities::parse(&counted()).ok_or(EINVAL)?;
        assert_eq!(caps.cntlid.get(), 0x0100);
        assert_eq!(caps.portid.get(), 0x0302);
        assert_eq!(caps.crt, 4);
        // VQ from byte 32 on, VI from byte 64 on.
        for (kind, at) in [(Resource::Queue, 0), (Resource::Interrupt, 0x2020)] {
            let resource = caps.resource(kind);
            let wide = at << 16 | at;
            assert_eq!(resource.flexible_total.get(), 0x2322_2120 + wide);
            assert_eq!(resource.flexible_assigned.get(), 0x2726_2524 + wide);
            assert_eq!(u32::from(resource.flexible_primary.get()), 0x2928 + at);
            assert_eq!(u32::from(resource.private_total.get()), 0x2b2a + at);
            assert_eq!(u32::from(resource.secondary_max.get()), 0x2d2c + at);
            assert_eq!(u32::from(resource.granularity.get()), 0x2f2e + at);
        }
        Ok(())
    }

    #[test]
    fn capabilities_cut_short_are_refused() {
        let data = counted();
        for len in 0..96 {
            assert!(data
                .get(..len)
                .and_then(PrimaryCapabilities::parse)
                .is_none());
        }
        assert!(data
            .get(..96)
            .and_then(PrimaryCapabilities::parse)
            .is_some());
    }

    #[test]
    fn kinds_of_resources_are_bits() -> Result {
        for crt in 0..4 {
            let mut data = counted();
            data[4] = crt;
            let caps = PrimaryCapabilities::parse(&data).ok_or(EINVAL)?;
            assert_eq!(caps.supports(Resource::Queue), crt & 1 != 0);
            assert_eq!(caps.supports(Resource::Interrupt), crt & 2 != 0);
        }
        Ok(())
    }

    #[test]
    fn entries_are_where_the_specification_has_them() -> Result {
        let mut data = counted();
        data[0] = 1;
        let entry = secondary_controllers(&data).next().ok_or(EINVAL)?;
        assert_eq!(entry.scid.get(), 0x2120);
        assert_eq!(entry.pcid.get(), 0x2322);
        assert_eq!(entry.scs, 0x24);
        assert_eq!(entry.vfn.get(), 0x2928);
        assert_eq!(entry.nvq.get(), 0x2b2a);
        assert_eq!(entry.nvi.get(), 0x2d2c);
        assert_eq!(entry.assigned(Resource::Queue), 0x2b2a);
        assert_eq!(entry.assigned(Resource::Interrupt), 0x2d2c);
        Ok(())
    }

    #[test]
    fn online_is_one_bit_of_the_state() -> Result {
        for state in [0, 1, 0xfe, 0xff] {
            let mut data = counted();
            (data[0], data[36]) = (1, state);
            let entry = secondary_controllers(&data).next().ok_or(EINVAL)?;
            assert_eq!(entry.is_online(), state & 1 != 0);
        }
        Ok(())
    }

    #[test]
    fn a_list_has_as_many_entries_as_it_says() -> Result {
        let mut list = KVec::from_elem(0, 4096 + 4096, GFP_KERNEL)?;
        for (count, entries) in [(0, 0), (1, 1), (5, 5), (127, 127), (128, 127), (255, 127)] {
            if let Some(byte) = list.first_mut() {
                *byte = count;
            }
            assert_eq!(secondary_controllers(&list).count(), entries);
        }
        // Cut short: whole entries only, and nothing at all without a header.
        for (len, entries) in [(0, 0), (1, 0), (32, 0), (63, 0), (64, 1), (4096, 127)] {
            let cut = list.get(..len).unwrap_or(&[]);
            assert_eq!(secondary_controllers(cut).count(), entries);
        }
        Ok(())
    }

    #[test]
    fn entries_are_in_the_order_of_the_list() -> Result {
        let mut list = KVec::from_elem(0, 4096, GFP_KERNEL)?;
        for (entry, i) in list.chunks_exact_mut(32).zip(0..128) {
            // Not the same for two entries, nor in their order.
            entry[0] = 200 - i;
        }
        list[0] = 127;
        let scids = secondary_controllers(&list).map(|entry| entry.scid.get());
        assert!(scids.eq((73..200).rev()));
        Ok(())
    }

    /// Opcode, dword 10, dword 11.
    fn parts(command: AdminCommand<NoData>) -> (u8, u32, u32) {
        let command = command.as_command();
        (command.opcode(), command.dword(10), command.dword(11))
    }

    #[test]
    fn commands_name_controller_kind_and_action() {
        assert_eq!(parts(offline(0x0102)), (0x1c, 0x0102_0007, 0));
        assert_eq!(parts(online(0x0102)), (0x1c, 0x0102_0009, 0));
        let queues = assign(0x0102, Resource::Queue, 0x0304);
        assert_eq!(parts(queues), (0x1c, 0x0102_0008, 0x0304));
        let interrupts = assign(u16::MAX, Resource::Interrupt, u16::MAX);
        assert_eq!(parts(interrupts), (0x1c, 0xffff_0108, 0xffff));
        let primary = allocate_to_primary(0x0102, Resource::Interrupt, 0x0304);
        assert_eq!(parts(primary), (0x1c, 0x0102_0101, 0x0304));
    }
}
