// SPDX-License-Identifier: GPL-2.0

//! A primary controller's flexible resources and secondary controllers, as the controller tells of
//! them and as it is told to change them (base specification, section 8.2.6).

use super::plan::{
    Pool,
    Short, //
};
use crate::{
    controller::Nvme,
    spec::{
        admin::{
            identify,
            IDENTIFY_SIZE, //
        },
        virtualization::{
            self,
            PrimaryCapabilities,
            Resource,
            SecondaryController, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};
use kernel_ext::{
    nvme::{
        Command,
        CommandStatus,
        Controller,
        State, //
    },
    pci::DeviceExt, //
};

/// The kinds of resources.
const KINDS: [Resource; 2] = [Resource::Queue, Resource::Interrupt];

/// The least that a VF needs: an admin and an I/O queue, and one interrupt.
fn minimum(kind: Resource) -> u16 {
    match kind {
        Resource::Queue => 2,
        Resource::Interrupt => 1,
    }
}

/// How the kinds are called in messages.
fn name(kind: Resource) -> &'static str {
    match kind {
        Resource::Queue => "queue",
        Resource::Interrupt => "interrupt",
    }
}

/// What a VF has; 0 for a kind that the controller does not hand out.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) queues: u16,
    pub(super) interrupts: u16,
}

impl Share {
    /// What a VF with `interrupts` interrupts has use for: a queue for each, and at least two.
    fn for_interrupts(interrupts: u16) -> Self {
        Self {
            queues: interrupts.max(minimum(Resource::Queue)),
            interrupts,
        }
    }

    fn of(&self, kind: Resource) -> u16 {
        match kind {
            Resource::Queue => self.queues,
            Resource::Interrupt => self.interrupts,
        }
    }
}

/// Sends a Virtualization Management command that is to do `what` to VF `vf`.
fn manage(ctrl: &Controller<Nvme>, command: Command, vf: u16, what: &str) -> Result {
    let status = match ctrl.admin_command(command, None) {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(status)) => status,
        Err(e) => {
            dev_err!(ctrl.device(), "VF {vf}: cannot {what}: {e:?}\n");
            return Err(e);
        }
    };
    dev_err!(
        ctrl.device(),
        "VF {vf}: cannot {what}: {} ({:#x})\n",
        virtualization::status_name(status),
        status.code()
    );
    Err(errno(status))
}

/// The errno of a refused Virtualization Management command.
fn errno(status: CommandStatus) -> Error {
    match status.code() {
        0x01 => EOPNOTSUPP,
        0x11f => ENXIO,
        0x120 => EBUSY,
        0x121 | 0x122 => ENOSPC,
        _ => EIO,
    }
}

/// Reads an Identify data structure.
fn read(ctrl: &Controller<Nvme>, cns: u8) -> Result<KVec<u8>> {
    let mut data = KVec::from_elem(0, IDENTIFY_SIZE, GFP_KERNEL)?;
    match ctrl.admin_command(identify(cns, 0), Some(&mut data))? {
        Ok(_) => Ok(data),
        Err(status) => {
            dev_err!(
                ctrl.device(),
                "Identify {cns:#x} failed, status {:#x}\n",
                status.code()
            );
            Err(status.into())
        }
    }
}

/// What the controller says of its resources and of who has them.
struct Inventory {
    caps: PrimaryCapabilities,
    /// The Secondary Controller List, as Identify returned it.
    list: KVec<u8>,
}

impl Inventory {
    /// Reads it. `None` if the controller has no Virtualization Management.
    fn read(ctrl: &Controller<Nvme>) -> Result<Option<Self>> {
        if ctrl.oacs() & virtualization::OACS_VIRTUALIZATION == 0 {
            return Ok(None);
        }
        let data = read(ctrl, virtualization::CNS_PRIMARY_CAPABILITIES)?;
        Ok(Some(Self {
            caps: PrimaryCapabilities::parse(&data).ok_or(EIO)?,
            list: read(ctrl, virtualization::CNS_SECONDARY_LIST)?,
        }))
    }

    /// The entry of VF `vf`, from 0.
    fn find(&self, vf: u16) -> Option<SecondaryController> {
        let vfn = vf.checked_add(1)?;
        virtualization::secondary_controllers(&self.list).find(|entry| entry.vfn.get() == vfn)
    }

    /// The resources of this kind that VFs can have, but for what secondary controllers hold that
    /// `ours` does not know. `None` if the controller hands out none of this kind.
    fn pool(&self, kind: Resource, ours: impl Fn(u16) -> bool) -> Option<Pool> {
        if !self.caps.supports(kind) {
            return None;
        }
        let resource = self.caps.resource(kind);
        let held: u32 = virtualization::secondary_controllers(&self.list)
            .filter(|entry| !ours(entry.scid.get()))
            .map(|entry| match kind {
                Resource::Queue => u32::from(entry.nvq.get()),
                Resource::Interrupt => u32::from(entry.nvi.get()),
            })
            .fold(0, u32::saturating_add);
        Some(Pool {
            free: resource
                .flexible_total
                .get()
                .saturating_sub(resource.flexible_primary.get().into())
                .saturating_sub(held),
            per_vf_max: resource.secondary_max.get(),
            granularity: resource.granularity.get(),
            minimum: minimum(kind),
        })
    }
}

/// How many interrupts can be given to VFs; 0 if the controller hands out none.
pub(super) fn total_interrupts(ctrl: &Controller<Nvme>) -> Result<u32> {
    let pool = Inventory::read(ctrl)?.and_then(|i| i.pool(Resource::Interrupt, |_| true));
    Ok(pool.map_or(0, |pool| pool.free))
}

/// A VF's controller.
struct Secondary {
    scid: u16,
    share: Share,
}

/// The secondary controllers of the first VFs, with their share of the resources.
///
/// Dropped, they go offline and the resources return to the pool.
pub(super) struct Secondaries {
    ctrl: ARef<Controller<Nvme>>,
    /// By VF, from 0.
    list: KVec<Secondary>,
}

impl Secondaries {
    /// Shares the controller's resources out to its first `vfs` VFs, as yet offline: as many
    /// interrupts as `settings` says for a VF, or an equal share where it says 0 or nothing.
    ///
    /// `None` if the controller has nothing to share out: its VFs have what they need. `ENOSPC`
    /// if the resources are short, `ENXIO` if the controller knows not as many VFs.
    pub(super) fn assign(
        ctrl: &Controller<Nvme>,
        vfs: u16,
        settings: &[u16],
    ) -> Result<Option<Self>> {
        let Some(inventory) = Inventory::read(ctrl)? else {
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
            let share = Share::default();
            let scid = entry.scid.get();
            list.push(Secondary { scid, share }, GFP_KERNEL)?;
            if entry.is_online() || entry.nvq.get() > 0 || entry.nvi.get() > 0 {
                stale.push(vf, GFP_KERNEL)?;
            }
        }
        let mut this = Self {
            ctrl: ctrl.into(),
            list,
        };
        this.divide(&inventory, settings)?;
        // Left from before, by whoever had the device.
        for vf in stale {
            this.take_offline(vf);
        }
        this.assign_all()?;
        Ok(Some(this))
    }

    /// Decides on the share of each VF.
    fn divide(&mut self, inventory: &Inventory, settings: &[u16]) -> Result {
        let mut wanted = KVec::with_capacity(self.list.len(), GFP_KERNEL)?;
        let mut shares = KVec::from_elem(0, self.list.len(), GFP_KERNEL)?;
        for kind in KINDS {
            let ours = |scid| self.list.iter().any(|secondary| secondary.scid == scid);
            let Some(pool) = inventory.pool(kind, ours) else {
                continue;
            };
            wanted.clear();
            for vf in 0..self.list.len() {
                let wish = match settings.get(vf) {
                    None | Some(0) => 0,
                    Some(&interrupts) => Share::for_interrupts(interrupts).of(kind),
                };
                wanted.push(wish, GFP_KERNEL)?;
            }
            if let Err(short) = pool.divide(&wanted, &mut shares) {
                return Err(self.refuse(kind, short));
            }
            for (secondary, &share) in self.list.iter_mut().zip(&shares) {
                match kind {
                    Resource::Queue => secondary.share.queues = share,
                    // More interrupts than queues would be of no use.
                    Resource::Interrupt => {
                        secondary.share.interrupts = match secondary.share.queues {
                            0 => share,
                            queues => share.min(queues),
                        }
                    }
                }
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
             enable fewer, or reduce what the PF holds (nvme virt-mgmt -a 1) and reset the PF\n"
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
                let what = match kind {
                    Resource::Queue => "assign queue resources",
                    Resource::Interrupt => "assign interrupt resources",
                };
                let command = virtualization::assign(secondary.scid, kind, count);
                manage(&self.ctrl, command, vf, what)?;
            }
        }
        Ok(())
    }

    /// Brings VF `vf` online; its function must be enabled.
    pub(super) fn bring_online(&self, vf: u16) -> Result {
        let scid = self.list.get(usize::from(vf)).ok_or(ENXIO)?.scid;
        let command = virtualization::online(scid);
        manage(&self.ctrl, command, vf, "bring it online")
    }

    /// Gives VF `vf`, which nobody uses, `interrupts` interrupts and as many queues; 0 stands for
    /// the least that any VF has. On failure it has what it had.
    ///
    /// `EINVAL` if no VF can have as many, `ENOSPC` if as many are not free, `EOPNOTSUPP` if the
    /// controller does not hand out interrupts.
    pub(super) fn set_interrupts(&mut self, vf: u16, interrupts: u16) -> Result {
        let share = match interrupts {
            0 => self.range().0,
            _ => Share::for_interrupts(interrupts),
        };
        let index = usize::from(vf);
        let Secondary { scid, share: old } = *self.list.get(index).ok_or(ENXIO)?;
        let inventory = Inventory::read(&self.ctrl)?.ok_or(EOPNOTSUPP)?;
        for kind in KINDS {
            let pool = inventory.pool(kind, |other| other == scid);
            let pool = pool.ok_or(EOPNOTSUPP)?;
            let (count, name) = (share.of(kind), name(kind));
            if count > pool.limit() {
                dev_err!(
                    self.ctrl.device(),
                    "VF {vf}: {count} {name} resources are more than the {} that a VF can have\n",
                    pool.limit()
                );
                return Err(EINVAL);
            }
            if u32::from(count) > pool.free {
                dev_err!(
                    self.ctrl.device(),
                    "VF {vf}: {count} {name} resources are wanted, and {} are free\n",
                    pool.free
                );
                return Err(ENOSPC);
            }
        }

        self.take_offline(vf);
        self.set_share(index, share);
        let set = self.start(vf);
        if set.is_err() {
            self.take_offline(vf);
            self.set_share(index, old);
            self.start(vf)?;
        }
        set
    }

    fn set_share(&mut self, index: usize, share: Share) {
        if let Some(secondary) = self.list.get_mut(index) {
            secondary.share = share;
        }
    }

    /// Gives VF `vf` its share and brings it online.
    fn start(&self, vf: u16) -> Result {
        let secondary = self.list.get(usize::from(vf)).ok_or(ENXIO)?;
        self.assign_one(vf, secondary)?;
        self.bring_online(vf)
    }

    /// Takes VF `vf` offline and its resources back, as far as the controller lets us.
    fn take_offline(&self, vf: u16) {
        let Some(&Secondary { scid, share }) = self.list.get(usize::from(vf)) else {
            return;
        };
        let command = virtualization::offline(scid);
        if manage(&self.ctrl, command, vf, "take it offline").is_err() {
            return;
        }
        for kind in KINDS {
            if share.of(kind) > 0 {
                let command = virtualization::assign(scid, kind, 0);
                let _ = manage(&self.ctrl, command, vf, "take its resources back");
            }
        }
    }
}

impl Drop for Secondaries {
    fn drop(&mut self) {
        // A controller that is being reset has forgotten them, and one that is gone would be
        // waited for in vain.
        if self.ctrl.state() != State::Live || !self.ctrl.data().pdev.is_present() {
            return;
        }
        for (vf, _) in (0u16..).zip(&self.list) {
            self.take_offline(vf);
        }
    }
}
