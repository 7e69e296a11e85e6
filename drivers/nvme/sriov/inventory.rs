// SPDX-License-Identifier: GPL-2.0

//! What a primary controller reports of its flexible resources, and of the controllers that have them.
//! The owner reads it anew for each job.

use super::{
    command,
    plan::Pool,
    setting::Wanted,
    share::{
        minimum,
        name,
        KINDS, //
    },
};
use crate::{
    controller::Nvme,
    spec::{
        admin::IdentifyData,
        virtualization::{
            self,
            PrimaryCapabilities,
            Resource,
            SecondaryController, //
        }, //
    },
};
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// Primary Controller Capabilities and Secondary Controller List, as they were when they were read.
pub(super) struct Inventory {
    pub(super) caps: PrimaryCapabilities,
    /// The Secondary Controller List, as Identify returned it.
    list: IdentifyData,
}

impl Inventory {
    /// Returns whether the controller has an inventory: it supports Virtualization Management.
    pub(super) fn exists(ctrl: &Controller<Nvme>) -> bool {
        ctrl.oacs() & virtualization::OACS_VIRTUALIZATION != 0
    }

    /// Reads the inventory. `None` if the controller does not support Virtualization Management.
    pub(super) fn read(ctrl: &Controller<Nvme>) -> Result<Option<Self>> {
        if !Self::exists(ctrl) {
            return Ok(None);
        }
        let data = command::identify(ctrl, virtualization::CNS_PRIMARY_CAPABILITIES, 0, 0)?;
        Ok(Some(Self {
            caps: PrimaryCapabilities::parse(&data[..]).ok_or(EIO)?,
            list: command::identify(ctrl, virtualization::CNS_SECONDARY_LIST, 0, 0)?,
        }))
    }

    /// Returns the entry of VF `vf`, counted from 0.
    pub(super) fn find(&self, vf: u16) -> Option<SecondaryController> {
        let vfn = vf.checked_add(1)?;
        virtualization::secondary_controllers(&self.list[..]).find(|entry| entry.vfn.get() == vfn)
    }

    /// Returns the VFs and their entries.
    pub(super) fn secondaries(&self) -> impl Iterator<Item = (u16, SecondaryController)> + '_ {
        virtualization::secondary_controllers(&self.list[..])
            .filter_map(|entry| Some((entry.vfn.get().checked_sub(1)?, entry)))
    }

    /// Checks whether the controller can ever assign what is wanted to VF `vf`: `EOPNOTSUPP` if it has no
    /// flexible resources of the kind, `EINVAL` if the number is too large or too small for a VF.
    pub(super) fn check(&self, ctrl: &Controller<Nvme>, vf: u16, wanted: Wanted) -> Result {
        for kind in KINDS {
            let (count, name) = (wanted.of(kind), name(kind));
            if count == 0 {
                continue;
            }
            let Some(pool) = self.pool(kind, |_| true) else {
                dev_err!(
                    ctrl.device(),
                    "VF {vf}: the controller hands out no {name} resources\n"
                );
                return Err(EOPNOTSUPP);
            };
            if !(pool.minimum..=pool.limit()).contains(&count) {
                dev_err!(
                    ctrl.device(),
                    "VF {vf}: {count} {name} resources: a VF can have {} to {}\n",
                    pool.minimum,
                    pool.limit()
                );
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    /// Returns how many resources of this kind are assigned to the secondary controllers that `whose`
    /// selects.
    pub(super) fn held(&self, kind: Resource, whose: impl Fn(u16) -> bool) -> u32 {
        virtualization::secondary_controllers(&self.list[..])
            .filter(|entry| whose(entry.scid.get()))
            .map(|entry| u32::from(entry.assigned(kind)))
            .fold(0, u32::saturating_add)
    }

    /// Returns the resources of this kind for VFs, without those that are assigned to secondary
    /// controllers that `ours` does not select. `None` if the controller has no flexible resources of
    /// this kind.
    pub(super) fn pool(&self, kind: Resource, ours: impl Fn(u16) -> bool) -> Option<Pool> {
        if !self.caps.supports(kind) {
            return None;
        }
        let resource = self.caps.resource(kind);
        Some(Pool {
            free: resource
                .flexible_total
                .get()
                .saturating_sub(resource.flexible_primary.get().into())
                .saturating_sub(self.held(kind, |scid| !ours(scid))),
            per_vf_max: resource.secondary_max.get(),
            granularity: resource.granularity.get(),
            minimum: minimum(kind),
        })
    }
}

#[kunit_tests(nvme_rs_inventory)]
mod tests {
    use super::*;

    /// The resources of a controller with VFs at 0x40, 0x41 and 0x42: 24 of each kind are
    /// flexible, of which the PF holds 3 queues and 2 interrupts. VF 2 is first in the list, and
    /// behind it is a secondary controller that is no VF.
    fn inventory(crt: u8) -> Result<Inventory> {
        let mut caps = IdentifyData::zeroed(GFP_KERNEL)?;
        let kind = |primary| [24, 0, 0, 0, 9, 0, 0, 0, primary, 0, 7, 0, 6, 0, 2, 0];
        put(&mut caps[..], 4, &[crt]);
        put(&mut caps[..], 32, &kind(3));
        put(&mut caps[..], 64, &kind(2));
        let mut list = IdentifyData::zeroed(GFP_KERNEL)?;
        put(&mut list[..], 0, &[4]);
        let entry = |scid, vfn, queues, interrupts| {
            [scid, 0, 1, 0, 0, 0, 0, 0, vfn, 0, queues, 0, interrupts, 0]
        };
        put(&mut list[..], 32, &entry(0x42, 3, 4, 1));
        put(&mut list[..], 64, &entry(0x50, 0, 5, 6));
        put(&mut list[..], 96, &entry(0x40, 1, 0, 0));
        put(&mut list[..], 128, &entry(0x41, 2, 2, 2));
        Ok(Inventory {
            caps: PrimaryCapabilities::parse(&caps[..]).ok_or(EINVAL)?,
            list,
        })
    }

    fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
        if let Some(place) = data.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    #[test]
    fn a_vf_is_found_by_its_number() -> Result {
        let inventory = inventory(3)?;
        let scid = |vf| inventory.find(vf).map(|entry| entry.scid.get());
        // VF numbers begin with 0 here, and with 1 in the list.
        assert_eq!(scid(0), Some(0x40));
        assert_eq!(scid(1), Some(0x41));
        assert_eq!(scid(2), Some(0x42));
        assert_eq!(scid(3), None);
        // The next number does not wrap to 0, which the controller that is no VF has.
        assert_eq!(scid(u16::MAX), None);
        Ok(())
    }

    /// Returns how many resources of `kind` are free for `ours`.
    fn free(inventory: &Inventory, kind: Resource, ours: &[u16]) -> Option<u32> {
        let pool = inventory.pool(kind, |scid| ours.contains(&scid));
        pool.map(|pool| pool.free)
    }

    #[test]
    fn what_others_hold_is_not_free() -> Result {
        let inventory = inventory(3)?;
        let all = [0x40, 0x41, 0x42, 0x50];
        assert_eq!(free(&inventory, Resource::Queue, &all), Some(24 - 3));
        assert_eq!(free(&inventory, Resource::Interrupt, &all), Some(24 - 2));
        let vfs = &all[..3];
        assert_eq!(free(&inventory, Resource::Queue, vfs), Some(24 - 3 - 5));
        assert_eq!(free(&inventory, Resource::Interrupt, vfs), Some(24 - 2 - 6));
        let none = &all[..0];
        assert_eq!(free(&inventory, Resource::Queue, none), Some(24 - 3 - 11));
        assert_eq!(
            free(&inventory, Resource::Interrupt, none),
            Some(24 - 2 - 9)
        );
        Ok(())
    }

    #[test]
    fn a_controller_that_counts_wrong_has_nothing_free() -> Result {
        let mut inventory = inventory(3)?;
        put(&mut inventory.list[..], 64 + 10, &[0xff, 0xff]);
        assert_eq!(free(&inventory, Resource::Queue, &[]), Some(0));
        Ok(())
    }

    #[test]
    fn the_pool_is_as_the_controller_says() -> Result {
        let inventory = inventory(3)?;
        for (kind, minimum) in [(Resource::Queue, 2), (Resource::Interrupt, 1)] {
            let pool = inventory.pool(kind, |_| true).ok_or(EINVAL)?;
            assert_eq!(pool.per_vf_max, 6);
            assert_eq!(pool.granularity, 2);
            assert_eq!(pool.minimum, minimum);
        }
        Ok(())
    }

    #[test]
    fn there_is_no_pool_of_what_is_not_flexible() -> Result {
        for crt in 0..4 {
            let inventory = inventory(crt)?;
            let queues = free(&inventory, Resource::Queue, &[]);
            let interrupts = free(&inventory, Resource::Interrupt, &[]);
            assert_eq!(queues.is_some(), crt & 1 != 0);
            assert_eq!(interrupts.is_some(), crt & 2 != 0);
        }
        Ok(())
    }
}
