// SPDX-License-Identifier: GPL-2.0

//! What a primary controller says of its resources and of who has them.

use super::{
    command,
    minimum,
    plan::Pool, //
};
use crate::{
    controller::Nvme,
    spec::virtualization::{
        self,
        PrimaryCapabilities,
        Resource,
        SecondaryController, //
    },
};
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// Primary Controller Capabilities and Secondary Controller List as they were a moment ago.
pub(super) struct Inventory {
    pub(super) caps: PrimaryCapabilities,
    /// The Secondary Controller List, as Identify returned it.
    list: KVec<u8>,
}

impl Inventory {
    /// Whether the controller can tell: it has Virtualization Management.
    pub(super) fn exists(ctrl: &Controller<Nvme>) -> bool {
        ctrl.oacs() & virtualization::OACS_VIRTUALIZATION != 0
    }

    /// Reads it. `None` if the controller has no Virtualization Management.
    pub(super) fn read(ctrl: &Controller<Nvme>) -> Result<Option<Self>> {
        if !Self::exists(ctrl) {
            return Ok(None);
        }
        let data = command::read(ctrl, virtualization::CNS_PRIMARY_CAPABILITIES, 0)?;
        Ok(Some(Self {
            caps: PrimaryCapabilities::parse(&data).ok_or(EIO)?,
            list: command::read(ctrl, virtualization::CNS_SECONDARY_LIST, 0)?,
        }))
    }

    /// The entry of VF `vf`, from 0.
    pub(super) fn find(&self, vf: u16) -> Option<SecondaryController> {
        let vfn = vf.checked_add(1)?;
        virtualization::secondary_controllers(&self.list).find(|entry| entry.vfn.get() == vfn)
    }

    /// How many resources of this kind the secondary controllers hold that `whose` picks.
    pub(super) fn held(&self, kind: Resource, whose: impl Fn(u16) -> bool) -> u32 {
        virtualization::secondary_controllers(&self.list)
            .filter(|entry| whose(entry.scid.get()))
            .map(|entry| u32::from(entry.assigned(kind)))
            .fold(0, u32::saturating_add)
    }

    /// The resources of this kind that VFs can have, but for what secondary controllers hold that
    /// `ours` does not know. `None` if the controller hands out none of this kind.
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
