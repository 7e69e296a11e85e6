// SPDX-License-Identifier: GPL-2.0

//! The secondary controllers behind the enabled VFs: their share of the resources, their
//! namespaces, and that they are online (base specification, section 8.2.6).

use super::{
    command,
    inventory::Inventory,
    name,
    namespaces::Attached,
    plan::Short,
    primary,
    setting::{
        Settings,
        Wanted, //
    },
    KINDS, //
};
use crate::{
    controller::Nvme,
    spec::virtualization::Resource, //
};
use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::aref::ARef, //
};
use kernel_ext::nvme::{
    Controller,
    State, //
};

/// What a VF has; 0 for a kind that the controller does not hand out.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) queues: u16,
    pub(super) interrupts: u16,
}

impl Share {
    fn of(&self, kind: Resource) -> u16 {
        match kind {
            Resource::Queue => self.queues,
            Resource::Interrupt => self.interrupts,
        }
    }

    fn set(&mut self, kind: Resource, count: u16) {
        match kind {
            Resource::Queue => self.queues = count,
            Resource::Interrupt => self.interrupts = count,
        }
    }
}

/// A VF's controller.
struct Secondary {
    scid: u16,
    share: Share,
    namespaces: Attached,
}

/// The secondary controllers of the first VFs.
///
/// Dropped, they go offline and the resources return to the pool.
pub(super) struct Secondaries {
    ctrl: ARef<Controller<Nvme>>,
    /// By VF, from 0.
    list: KVec<Secondary>,
}

impl Secondaries {
    /// Shares the controller's resources out to its first `vfs` VFs, as yet offline, by their
    /// `settings`; equally where there is none. If the primary controller itself holds what is
    /// missing, it gives that back, and is reset.
    ///
    /// `None` if the controller has nothing to share out: its VFs have what they need. `ENOSPC`
    /// if the resources are short, `ENXIO` if the controller knows not as many VFs, `EIO` if it
    /// takes two of them for one.
    pub(super) fn assign(
        ctrl: &Controller<Nvme>,
        pdev: &pci::Device<Core<'_>>,
        vfs: u16,
        settings: &Settings,
    ) -> Result<Option<Self>> {
        let Some(mut inventory) = Inventory::read(ctrl)? else {
            return Ok(None);
        };
        let mut list = KVec::with_capacity(usize::from(vfs), GFP_KERNEL)?;
        let mut stale = KVec::new();
        for vf in 0..vfs {
            let Some(entry) = inventory.find(vf) else {
                dev_err!(
                    ctrl.device(),
                    "VF {vf}: not in the Secondary Controller List; fewer VFs may work\n"
                );
                return Err(ENXIO);
            };
            let scid = entry.scid.get();
            let taken = |other: &Secondary| other.scid == scid;
            if scid == inventory.caps.cntlid.get() || list.iter().any(taken) {
                dev_err!(
                    ctrl.device(),
                    "VF {vf}: the Secondary Controller List gives it controller {scid:#x}, which \
                     is another function's; the device's firmware is at fault\n"
                );
                return Err(EIO);
            }
            let share = Share {
                queues: entry.nvq.get(),
                interrupts: entry.nvi.get(),
            };
            list.push(
                Secondary {
                    scid,
                    share,
                    namespaces: Attached::new(settings.namespaces(vf))?,
                },
                GFP_KERNEL,
            )?;
            if entry.is_online() || share != Share::default() {
                stale.push(vf, GFP_KERNEL)?;
            }
        }
        let mut this = Self {
            ctrl: ctrl.into(),
            list,
        };
        // Left from before, by whoever had the device.
        for vf in stale {
            this.take_offline(vf);
        }
        let ours = |scid| this.list.iter().any(|secondary| secondary.scid == scid);
        if primary::give_back(ctrl, pdev, &inventory, |kind| {
            let pool = inventory.pool(kind, ours)?;
            let wanted = this.wanted(kind, settings).ok()?;
            pool.shortage(&wanted)
        })? {
            inventory = Inventory::read(ctrl)?.ok_or(EIO)?;
        }
        this.divide(&inventory, settings)?;
        this.assign_all()?;
        Ok(Some(this))
    }

    /// How many resources of this kind each VF is to have; 0 for an equal share.
    fn wanted(&self, kind: Resource, settings: &Settings) -> Result<KVec<u16>> {
        let mut wanted = KVec::with_capacity(self.list.len(), GFP_KERNEL)?;
        for (vf, _) in (0u16..).zip(&self.list) {
            wanted.push(settings.wanted(vf).of(kind), GFP_KERNEL)?;
        }
        Ok(wanted)
    }

    /// Decides on the share of each VF.
    fn divide(&mut self, inventory: &Inventory, settings: &Settings) -> Result {
        let mut shares = KVec::from_elem(0, self.list.len(), GFP_KERNEL)?;
        for secondary in &mut self.list {
            secondary.share = Share::default();
        }
        for kind in KINDS {
            let ours = |scid| self.list.iter().any(|secondary| secondary.scid == scid);
            let Some(pool) = inventory.pool(kind, ours) else {
                continue;
            };
            let wanted = self.wanted(kind, settings)?;
            if let Err(short) = pool.divide(&wanted, &mut shares) {
                return Err(self.refuse(kind, short));
            }
            for ((secondary, &share), &wanted) in self.list.iter_mut().zip(&shares).zip(&wanted) {
                let count = match (kind, wanted, secondary.share.queues) {
                    // More interrupts than queues would be of no use, unless they are wanted.
                    (Resource::Interrupt, 0, 1..) => share.min(secondary.share.queues),
                    _ => share,
                };
                secondary.share.set(kind, count);
            }
        }
        Ok(())
    }

    /// Tells that the pool is too small.
    fn refuse(&self, kind: Resource, Short { needed, free }: Short) -> Error {
        let (vfs, name) = (self.list.len(), name(kind));
        dev_err!(
            self.ctrl.device(),
            "cannot enable {vfs} VFs: they need {needed} {name} resources, and {free} are free; \
             enable fewer, or give single VFs less\n"
        );
        ENOSPC
    }

    /// The least and the most that a VF has, of each kind.
    pub(super) fn range(&self) -> (Share, Share) {
        let shares = || self.list.iter().map(|secondary| secondary.share);
        let bound = |pick: fn(&mut dyn Iterator<Item = u16>) -> Option<u16>| Share {
            queues: pick(&mut shares().map(|share| share.queues)).unwrap_or(0),
            interrupts: pick(&mut shares().map(|share| share.interrupts)).unwrap_or(0),
        };
        (bound(|all| all.min()), bound(|all| all.max()))
    }

    /// Gives every VF its share; they are offline.
    pub(super) fn assign_all(&self) -> Result {
        (0u16..)
            .zip(&self.list)
            .try_for_each(|(vf, secondary)| self.assign_one(vf, secondary))
    }

    /// Gives VF `vf` its share; it is offline.
    fn assign_one(&self, vf: u16, secondary: &Secondary) -> Result {
        for kind in KINDS {
            let count = secondary.share.of(kind);
            if count > 0 {
                command::assign(&self.ctrl, vf, secondary.scid, kind, count)?;
            }
        }
        Ok(())
    }

    /// Attaches the namespaces of VF `vf` and brings it online; its function must be enabled.
    pub(super) fn bring_online(&self, vf: u16) -> Result {
        let secondary = self.list.get(usize::from(vf)).ok_or(ENXIO)?;
        secondary
            .namespaces
            .attach(&self.ctrl, vf, secondary.scid)?;
        command::online(&self.ctrl, vf, secondary.scid)
    }

    /// Detaches the namespaces that were attached when VF `vf` went online. Its function is still
    /// enabled, and has no driver any more.
    pub(super) fn detach(&self, vf: u16) {
        if let (true, Some(secondary)) = (self.is_reachable(), self.list.get(usize::from(vf))) {
            secondary.namespaces.detach(&self.ctrl, vf, secondary.scid);
        }
    }

    /// Makes `nsids` the namespaces of VF `vf`, which may be in use. On failure it has those that
    /// it had.
    pub(super) fn set_namespaces(&mut self, vf: u16, nsids: &[u32]) -> Result {
        let secondary = self.list.get_mut(usize::from(vf)).ok_or(ENXIO)?;
        let scid = secondary.scid;
        secondary.namespaces.replace(&self.ctrl, vf, scid, nsids)
    }

    /// Gives VF `vf`, which nobody uses, what it is to have; the least that any VF has where no
    /// number is `wanted`. On failure it has what it had.
    ///
    /// `ENOSPC` if as many are not free.
    pub(super) fn set_share(&mut self, vf: u16, wanted: Wanted) -> Result {
        let index = usize::from(vf);
        let &Secondary {
            scid, share: old, ..
        } = self.list.get(index).ok_or(ENXIO)?;
        let inventory = Inventory::read(&self.ctrl)?.ok_or(EOPNOTSUPP)?;
        let least = self.range().0;
        let mut share = Share::default();
        for kind in KINDS {
            let Some(pool) = inventory.pool(kind, |other| other == scid) else {
                continue;
            };
            let count = match wanted.of(kind) {
                0 => least.of(kind),
                count => count,
            };
            if u32::from(count) > pool.free {
                let (name, free) = (name(kind), pool.free);
                dev_err!(
                    self.ctrl.device(),
                    "VF {vf}: {count} {name} resources are wanted, and {free} are free\n"
                );
                return Err(ENOSPC);
            }
            share.set(kind, count);
        }

        self.take_offline(vf);
        self.note_share(index, share);
        let set = self.start(vf);
        if set.is_err() {
            self.take_offline(vf);
            self.note_share(index, old);
            self.start(vf)?;
        }
        set
    }

    fn note_share(&mut self, index: usize, share: Share) {
        if let Some(secondary) = self.list.get_mut(index) {
            secondary.share = share;
        }
    }

    /// Gives VF `vf` its share and brings it online.
    fn start(&self, vf: u16) -> Result {
        let secondary = self.list.get(usize::from(vf)).ok_or(ENXIO)?;
        self.assign_one(vf, secondary)?;
        command::online(&self.ctrl, vf, secondary.scid)
    }

    /// Takes VF `vf` offline and its resources back, as far as the controller lets us.
    fn take_offline(&self, vf: u16) {
        let Some(&Secondary { scid, share, .. }) = self.list.get(usize::from(vf)) else {
            return;
        };
        if command::offline(&self.ctrl, vf, scid).is_err() {
            return;
        }
        for kind in KINDS {
            if share.of(kind) > 0 {
                let _ = command::assign(&self.ctrl, vf, scid, kind, 0);
            }
        }
    }

    /// Whether commands make sense: a controller that is being reset has forgotten its
    /// secondaries, and one that is gone would be waited for in vain.
    fn is_reachable(&self) -> bool {
        self.ctrl.state() == State::Live && self.ctrl.data().is_present()
    }
}

impl Drop for Secondaries {
    fn drop(&mut self) {
        if !self.is_reachable() {
            return;
        }
        for (vf, _) in (0u16..).zip(&self.list) {
            self.take_offline(vf);
        }
    }
}
