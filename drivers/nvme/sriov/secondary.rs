// SPDX-License-Identifier: GPL-2.0

//! One secondary controller: the controller of a VF, as its PF's owner provisions it.

use super::{
    command,
    inventory::Inventory,
    setting::Wanted,
    share::{
        minimum,
        Share,
        KINDS, //
    },
};
use crate::controller::Nvme;
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// A VF's controller.
pub(super) struct Secondary {
    pub(super) scid: u16,
    /// The resources that it is to have while the VF is enabled.
    pub(super) share: Share,
    /// Whether the VF is enabled.
    pub(super) is_present: bool,
    /// Whether the administrator has set its namespaces.
    pub(super) is_set: bool,
    /// The namespaces that the owner has attached because they were set, without those that others had
    /// attached before.
    pub(super) ours: KVec<u32>,
}

impl Secondary {
    /// Returns the secondary controllers of the first `vfs` VFs. `ENXIO` and `EIO` if the Secondary
    /// Controller List does not have them.
    pub(super) fn list(
        ctrl: &Controller<Nvme>,
        inventory: &Inventory,
        vfs: u16,
    ) -> Result<KVec<Self>> {
        let mut list: KVec<Self> = KVec::with_capacity(usize::from(vfs), GFP_KERNEL)?;
        for vf in 0..vfs {
            let Some(entry) = inventory.find(vf) else {
                dev_err!(
                    ctrl.device(),
                    "VF {vf}: not in the Secondary Controller List; fewer VFs may work\n"
                );
                return Err(ENXIO);
            };
            let scid = entry.scid.get();
            let taken = |other: &Self| other.scid == scid;
            if scid == inventory.caps.cntlid.get() || list.iter().any(taken) {
                dev_err!(
                    ctrl.device(),
                    "VF {vf}: the Secondary Controller List gives it controller {scid:#x}, which \
                     is another function's; the device's firmware is at fault\n"
                );
                return Err(EIO);
            }
            list.push(
                Self {
                    scid,
                    share: Share::default(),
                    is_present: false,
                    is_set: false,
                    ours: KVec::new(),
                },
                GFP_KERNEL,
            )?;
        }
        Ok(list)
    }

    /// Returns the resources that VF `vf` is to get; 0 for an equal share. They are those of its
    /// `setting`, or else those that were assigned by hand.
    pub(super) fn wanted(
        &self,
        ctrl: &Controller<Nvme>,
        vf: u16,
        setting: Wanted,
        inventory: &Inventory,
    ) -> Share {
        let mut share = Share::default();
        let (mut kept, mut lost) = (Share::default(), Share::default());
        for kind in KINDS {
            let held = inventory.find(vf).map_or(0, |entry| entry.assigned(kind));
            let usable = inventory
                .pool(kind, |_| true)
                .is_some_and(|pool| (minimum(kind)..=pool.limit()).contains(&held));
            let count = match setting.of(kind) {
                0 if usable => {
                    kept.set(kind, held);
                    held
                }
                count => {
                    if held != count {
                        lost.set(kind, held);
                    }
                    count
                }
            };
            share.set(kind, count);
        }
        if kept != Share::default() {
            dev_info!(
                ctrl.device(),
                "VF {vf}: keeps what was assigned by hand: {} queues and {} interrupts\n",
                kept.queues,
                kept.interrupts
            );
        }
        if lost != Share::default() {
            dev_info!(
                ctrl.device(),
                "VF {vf}: loses what was assigned by hand, {} queues and {} interrupts: it has a \
                 setting, or could not work with them\n",
                lost.queues,
                lost.interrupts
            );
        }
        share
    }

    /// Takes the VF offline, and takes back its resources of each kind of which it is to have another
    /// number.
    pub(super) fn clear(&self, ctrl: &Controller<Nvme>, vf: u16, inventory: &Inventory) -> Result {
        let Some(entry) = inventory.find(vf) else {
            return Err(ENXIO);
        };
        if entry.is_online() {
            command::offline(ctrl, vf, self.scid)?;
        }
        for kind in KINDS {
            let held = entry.assigned(kind);
            if held != 0 && held != self.share.of(kind) {
                command::assign(ctrl, vf, self.scid, kind, 0)?;
            }
        }
        Ok(())
    }

    /// Assigns its share to the VF, which must be offline. `inventory` has what is assigned now.
    pub(super) fn assign(&self, ctrl: &Controller<Nvme>, vf: u16, inventory: &Inventory) -> Result {
        for kind in KINDS {
            let held = inventory.find(vf).map_or(0, |entry| entry.assigned(kind));
            let count = self.share.of(kind);
            if count != held && count > 0 {
                command::assign(ctrl, vf, self.scid, kind, count)?;
            }
        }
        Ok(())
    }

    /// Brings the VF online; its function must be enabled.
    pub(super) fn online(&self, ctrl: &Controller<Nvme>, vf: u16) -> Result {
        command::online(ctrl, vf, self.scid)
    }

    /// Takes the VF offline, which nobody uses, assigns its share, and brings it online again.
    pub(super) fn reassign(&self, ctrl: &Controller<Nvme>, vf: u16) -> Result {
        command::offline(ctrl, vf, self.scid)?;
        let inventory = Inventory::read(ctrl)?.ok_or(EIO)?;
        self.clear(ctrl, vf, &inventory)?;
        self.assign(ctrl, vf, &inventory)?;
        self.online(ctrl, vf)
    }

    /// Takes the VF offline and its resources back. What the controller refuses stays.
    pub(super) fn take_back(&self, ctrl: &Controller<Nvme>, vf: u16, inventory: &Inventory) {
        let Some(entry) = inventory.find(vf) else {
            return;
        };
        if entry.is_online() && command::offline(ctrl, vf, self.scid).is_err() {
            return;
        }
        for kind in KINDS {
            if entry.assigned(kind) > 0 {
                let _ = command::assign(ctrl, vf, self.scid, kind, 0);
            }
        }
    }
}
