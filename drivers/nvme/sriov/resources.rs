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
use kernel_ext::nvme::{
    Command,
    CommandStatus,
    Controller,
    State, //
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

/// What each VF gets; 0 for a kind that the controller does not hand out.
#[derive(Clone, Copy, Default)]
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

/// The secondary controllers of the first VFs, with their share of the resources.
///
/// Dropped, they go offline and the resources return to the pool.
pub(super) struct Secondaries {
    ctrl: ARef<Controller<Nvme>>,
    /// Secondary controller identifiers, by VF from 0.
    scids: KVec<u16>,
    share: Share,
}

impl Secondaries {
    /// Shares the controller's resources out equally to its first `vfs` VFs, as yet offline.
    ///
    /// `None` if the controller has nothing to share out: its VFs have what they need. `ENOSPC`
    /// if the resources are short, `ENXIO` if the controller knows not as many VFs.
    pub(super) fn assign(ctrl: &Controller<Nvme>, vfs: u16) -> Result<Option<Self>> {
        if ctrl.oacs() & virtualization::OACS_VIRTUALIZATION == 0 {
            return Ok(None);
        }
        let data = read(ctrl, virtualization::CNS_PRIMARY_CAPABILITIES)?;
        let caps = PrimaryCapabilities::parse(&data).ok_or(EIO)?;
        let list = read(ctrl, virtualization::CNS_SECONDARY_LIST)?;

        let mut scids = KVec::with_capacity(usize::from(vfs), GFP_KERNEL)?;
        let mut stale = KVec::new();
        // What others than these VFs hold is not free.
        let mut held = Share::default();
        for vf in 0..vfs {
            let entry = find(&list, vf).ok_or_else(|| {
                dev_err!(
                    ctrl.device(),
                    "VF {vf}: not in the Secondary Controller List; fewer VFs may work\n"
                );
                ENXIO
            })?;
            scids.push(entry.scid.get(), GFP_KERNEL)?;
            if entry.is_online() || entry.nvq.get() > 0 || entry.nvi.get() > 0 {
                stale.push(vf, GFP_KERNEL)?;
            }
        }
        for entry in virtualization::secondary_controllers(&list) {
            if !scids.contains(&entry.scid.get()) {
                held.queues = held.queues.saturating_add(entry.nvq.get());
                held.interrupts = held.interrupts.saturating_add(entry.nvi.get());
            }
        }

        let mut share = Share {
            queues: divide(ctrl, &caps, Resource::Queue, &held, vfs)?,
            interrupts: divide(ctrl, &caps, Resource::Interrupt, &held, vfs)?,
        };
        if share.queues > 0 {
            // More interrupts than queues would be of no use.
            share.interrupts = share.interrupts.min(share.queues);
        }

        let this = Self {
            ctrl: ctrl.into(),
            scids,
            share,
        };
        // Left from before, by whoever had the device.
        for vf in stale {
            this.take_offline(vf);
        }
        this.assign_all()?;
        Ok(Some(this))
    }

    /// What each VF has.
    pub(super) fn share(&self) -> Share {
        self.share
    }

    /// Gives every VF its share; they are offline.
    pub(super) fn assign_all(&self) -> Result {
        for (vf, &scid) in (0..).zip(&self.scids) {
            for kind in KINDS {
                let count = self.share.of(kind);
                if count > 0 {
                    let what = match kind {
                        Resource::Queue => "assign queue resources",
                        Resource::Interrupt => "assign interrupt resources",
                    };
                    let command = virtualization::assign(scid, kind, count);
                    manage(&self.ctrl, command, vf, what)?;
                }
            }
        }
        Ok(())
    }

    /// Brings VF `vf` online; its function must be enabled.
    pub(super) fn bring_online(&self, vf: u16) -> Result {
        let scid = *self.scids.get(usize::from(vf)).ok_or(ENXIO)?;
        manage(
            &self.ctrl,
            virtualization::online(scid),
            vf,
            "bring it online",
        )
    }

    /// Takes VF `vf` offline and its resources back, as far as the controller lets us.
    fn take_offline(&self, vf: u16) {
        let Some(&scid) = self.scids.get(usize::from(vf)) else {
            return;
        };
        if manage(
            &self.ctrl,
            virtualization::offline(scid),
            vf,
            "take it offline",
        )
        .is_err()
        {
            return;
        }
        for kind in KINDS {
            if self.share.of(kind) > 0 {
                let command = virtualization::assign(scid, kind, 0);
                let _ = manage(&self.ctrl, command, vf, "take its resources back");
            }
        }
    }
}

impl Drop for Secondaries {
    fn drop(&mut self) {
        // A controller that is gone, or is being reset, has forgotten them.
        if self.ctrl.state() != State::Live && self.ctrl.state() != State::Connecting {
            return;
        }
        for (vf, _) in (0u16..).zip(&self.scids) {
            self.take_offline(vf);
        }
    }
}

/// The list's entry of VF `vf`, from 0.
fn find(list: &[u8], vf: u16) -> Option<SecondaryController> {
    let vfn = vf.checked_add(1)?;
    virtualization::secondary_controllers(list).find(|entry| entry.vfn.get() == vfn)
}

/// The equal share of each VF in the resources of this kind; 0 if the controller has none to give.
fn divide(
    ctrl: &Controller<Nvme>,
    caps: &PrimaryCapabilities,
    kind: Resource,
    held: &Share,
    vfs: u16,
) -> Result<u16> {
    if !caps.supports(kind) {
        return Ok(0);
    }
    let resource = caps.resource(kind);
    let pool = Pool {
        free: resource
            .flexible_total
            .get()
            .saturating_sub(resource.flexible_primary.get().into())
            .saturating_sub(held.of(kind).into()),
        per_vf_max: resource.secondary_max.get(),
        granularity: resource.granularity.get(),
        minimum: minimum(kind),
    };
    pool.share(vfs).map_err(|Short { needed, free }| {
        let name = name(kind);
        dev_err!(
            ctrl.device(),
            "cannot enable {vfs} VFs: they need {needed} {name} resources, and {free} are free; \
             enable fewer, or take some from the PF (nvme virt-mgmt -a 1) and reset it\n"
        );
        ENOSPC
    })
}
