// SPDX-License-Identifier: GPL-2.0

//! What the controller's VFs have: their shares, their namespaces, and whether they are online (base
//! specification, section 8.2.6).
//!
//! Only the owner uses this, with `Family::actual` locked, so that there is one order of the commands
//! about VFs. It waits for commands, and takes `Family::desk` for moments.

use super::{
    attachments::Attachments,
    command::is_interrupted,
    desk::{
        Answer,
        Job,
        Standing, //
    },
    family::Family,
    inventory::Inventory,
    namespaces,
    plan::Shortage,
    primary,
    secondary::Secondary,
    setting::Wanted,
    share::{
        name,
        Share,
        KINDS, //
    },
    view::{
        Seen,
        View, //
    },
};
use crate::{
    controller::Nvme,
    spec::virtualization::Resource, //
};
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// What the owner knows of the VFs.
#[derive(Default)]
pub(super) struct Actual {
    /// The secondary controllers of the VFs that resources are assigned to, by VF, from 0. Empty while
    /// no VFs are enabled.
    list: KVec<Secondary>,
    attached: Attachments,
    /// Whether `attached` was read after the VFs were enabled: before, it may be incomplete.
    is_read: bool,
    /// The VFs whose controllers had been live before `attached` was read.
    live: KVec<u16>,
    /// The identifier of the primary controller.
    cntlid: u16,
    /// The resources that the VFs get when the PF has given back what is missing.
    wanted: Option<AllWanted>,
}

/// The number of resources that each VF is to get, by kind; 0 for an equal share.
#[derive(Default)]
struct AllWanted {
    queues: KVec<u16>,
    interrupts: KVec<u16>,
}

impl AllWanted {
    fn of(&self, kind: Resource) -> &[u16] {
        match kind {
            Resource::Queue => &self.queues,
            Resource::Interrupt => &self.interrupts,
        }
    }
}

impl Actual {
    /// Does `job`, in `epoch`. A job that was interrupted can be done again.
    pub(super) fn perform(
        &mut self,
        ctrl: &Controller<Nvme>,
        family: &Family,
        epoch: u32,
        job: &Job,
    ) -> Result<Answer> {
        match job {
            Job::Prepare { vfs, gave_back } => self.prepare(ctrl, family, *vfs, *gave_back),
            Job::Online(vf) => self.bring_online(ctrl, family, epoch, *vf),
            Job::Retire(vf) => self.retire(ctrl, family, *vf),
            Job::Release => self.release(ctrl, family),
            Job::Look => self.look(ctrl, family).map(|()| Answer::Done),
            Job::Share {
                vf,
                kind,
                count,
                is_unused,
            } => self.set_share(ctrl, family, epoch, *vf, *kind, *count, *is_unused),
            Job::Namespaces { vf, nsids } => self.set_namespaces(ctrl, family, *vf, nsids),
        }
    }

    /// Returns the VFs that are enabled.
    pub(super) fn present(&self) -> impl Iterator<Item = u16> + '_ {
        (0..=u16::MAX)
            .zip(&self.list)
            .filter(|(_, secondary)| secondary.is_present)
            .map(|(vf, _)| vf)
    }

    /// Divides the controller's resources among its first `vfs` VFs, which are offline, and assigns
    /// them: by the VFs' settings, by what was assigned by hand, and equally where there is neither. If
    /// the primary controller holds what is missing, it gives that back, unless it already `gave_back`.
    ///
    /// `ENOSPC` if there are too few resources, `ENXIO` if the controller has fewer VFs, `EIO` if it
    /// lists the same secondary controller for two VFs.
    fn prepare(
        &mut self,
        ctrl: &Controller<Nvme>,
        family: &Family,
        vfs: u16,
        gave_back: bool,
    ) -> Result<Answer> {
        let inventory = Inventory::read(ctrl)?;
        family.desk().dependent = inventory.is_some();
        let Some(inventory) = inventory else {
            return Ok(Answer::Independent);
        };
        self.list = Secondary::list(ctrl, &inventory, vfs)?;
        self.cntlid = inventory.caps.cntlid.get();
        self.is_read = false;

        let wanted = match self.wanted.take() {
            // The function reset has taken what was assigned by hand.
            Some(wanted) if gave_back => wanted,
            _ => self.wanted(ctrl, family, &inventory)?,
        };
        let ours = |scid| self.list.iter().any(|secondary| secondary.scid == scid);
        let shortage = |kind| inventory.pool(kind, ours)?.shortage(wanted.of(kind));
        if !gave_back && primary::give_back(ctrl, &inventory, shortage)? {
            self.wanted = Some(wanted);
            return Ok(Answer::WantsFunctionReset);
        }
        let result = self
            .divide(ctrl, &inventory, &wanted)
            .and_then(|()| self.assign_all(ctrl, &inventory));
        if result.is_err() && !is_interrupted(ctrl) {
            self.take_back(ctrl);
        }
        result?;
        self.look_at_resources(ctrl, family)?;
        let (least, most) = self.range();
        Ok(Answer::Prepared { least, most })
    }

    /// Returns the number of resources that each VF is to get.
    fn wanted(
        &self,
        ctrl: &Controller<Nvme>,
        family: &Family,
        inventory: &Inventory,
    ) -> Result<AllWanted> {
        let mut wanted = AllWanted::default();
        for (vf, secondary) in (0..=u16::MAX).zip(&self.list) {
            let setting = family.desk().settings.wanted(vf);
            let share = secondary.wanted(ctrl, vf, setting, inventory);
            wanted.queues.push(share.queues, GFP_KERNEL)?;
            wanted.interrupts.push(share.interrupts, GFP_KERNEL)?;
        }
        Ok(wanted)
    }

    /// Sets the share of each VF in `list`.
    fn divide(
        &mut self,
        ctrl: &Controller<Nvme>,
        inventory: &Inventory,
        wanted: &AllWanted,
    ) -> Result {
        let mut shares = KVec::from_elem(0, self.list.len(), GFP_KERNEL)?;
        for secondary in &mut self.list {
            secondary.share = Share::default();
        }
        for kind in KINDS {
            let ours = |scid| self.list.iter().any(|secondary| secondary.scid == scid);
            let Some(pool) = inventory.pool(kind, ours) else {
                continue;
            };
            let wanted = wanted.of(kind);
            if let Err(shortage) = pool.divide(wanted, &mut shares) {
                return Err(self.refuse(ctrl, kind, shortage));
            }
            for ((secondary, &share), &wanted) in self.list.iter_mut().zip(&shares).zip(wanted) {
                let count = match (kind, wanted, secondary.share.queues) {
                    // A VF cannot use more interrupts than queues, unless the administrator wants it.
                    (Resource::Interrupt, 0, 1..) => share.min(secondary.share.queues),
                    _ => share,
                };
                secondary.share.set(kind, count);
            }
        }
        Ok(())
    }

    /// Reports that the pool is too small. Returns the errno.
    fn refuse(&self, ctrl: &Controller<Nvme>, kind: Resource, shortage: Shortage) -> Error {
        let Shortage { needed, free } = shortage;
        let (vfs, name) = (self.list.len(), name(kind));
        dev_err!(
            ctrl.device(),
            "cannot enable {vfs} VFs: they need {needed} {name} resources, and {free} are free; \
             enable fewer, or give single VFs less\n"
        );
        ENOSPC
    }

    /// Returns the smallest and the largest share of a VF, of each kind.
    fn range(&self) -> (Share, Share) {
        let shares = || self.list.iter().map(|secondary| secondary.share);
        let bound = |pick: fn(&mut dyn Iterator<Item = u16>) -> Option<u16>| Share {
            queues: pick(&mut shares().map(|share| share.queues)).unwrap_or(0),
            interrupts: pick(&mut shares().map(|share| share.interrupts)).unwrap_or(0),
        };
        (bound(|all| all.min()), bound(|all| all.max()))
    }

    /// Takes every VF offline and assigns its share. `inventory` has what is assigned now.
    fn assign_all(&self, ctrl: &Controller<Nvme>, inventory: &Inventory) -> Result {
        // Resources go back to the pool first: other VFs may need them.
        for (vf, secondary) in (0..=u16::MAX).zip(&self.list) {
            secondary.clear(ctrl, vf, inventory)?;
        }
        for (vf, secondary) in (0..=u16::MAX).zip(&self.list) {
            secondary.assign(ctrl, vf, inventory)?;
        }
        Ok(())
    }

    /// Attaches the namespaces of VF `vf` and brings it online; its function has just been enabled.
    fn bring_online(
        &mut self,
        ctrl: &Controller<Nvme>,
        family: &Family,
        epoch: u32,
        vf: u16,
    ) -> Result<Answer> {
        let index = usize::from(vf);
        let Some(secondary) = self.list.get_mut(index) else {
            // The VF has resources of its own.
            return Ok(Answer::Done);
        };
        secondary.is_present = true;
        let result = self.isolate(ctrl, family, vf).and_then(|()| {
            let secondary = self.list.get(index).ok_or(ENXIO)?;
            secondary.online(ctrl, vf)
        });
        match result {
            Ok(()) => family.note(vf, Standing::Online(epoch))?,
            Err(e) if is_interrupted(ctrl) => return Err(e),
            Err(e) => {
                let _ = family.note(vf, Standing::Refused(epoch));
                return Err(e);
            }
        }
        Ok(Answer::Done)
    }

    /// Attaches exactly the namespaces to VF `vf` that it is to have, and detaches those that an earlier
    /// user had. Nobody uses the VF yet.
    fn isolate(&mut self, ctrl: &Controller<Nvme>, family: &Family, vf: u16) -> Result {
        if !Attachments::are_known(ctrl) {
            return Ok(());
        }
        if !self.is_read {
            self.read_attachments(ctrl, family)?;
            self.is_read = true;
        }
        let setting = family.desk().settings.namespaces(vf)?;
        let nsids = self.with_given(&setting)?;
        let secondary = self.list.get_mut(usize::from(vf)).ok_or(ENXIO)?;
        secondary.is_set = !setting.is_empty();
        secondary.ours = setting;
        self.attached.make(ctrl, vf, secondary.scid, &nsids)
    }

    /// Reads which namespaces are attached to which controllers.
    fn read_attachments(&mut self, ctrl: &Controller<Nvme>, family: &Family) -> Result {
        // Asked before: a controller that is live by then has its namespaces when they are read.
        let live = family.live()?;
        self.attached = Attachments::read(ctrl)?;
        self.live = live;
        Ok(())
    }

    /// Returns `nsids` and the namespaces that the controller attaches to every VF by itself: those that
    /// all VFs and the PF have. The controller may attach them only when a VF's controller is enabled
    /// first; so VFs whose controllers have not been live do not count, if others have.
    fn with_given(&self, nsids: &[u32]) -> Result<KVec<u32>> {
        let mut all = KVec::with_capacity(self.list.len(), GFP_KERNEL)?;
        all.push(self.cntlid, GFP_KERNEL)?;
        for (vf, secondary) in (0..=u16::MAX).zip(&self.list) {
            if self.live.is_empty() || self.live.contains(&vf) {
                all.push(secondary.scid, GFP_KERNEL)?;
            }
        }
        let mut given = self.attached.common(&all)?;
        for &nsid in nsids {
            if !given.contains(&nsid) {
                given.push(nsid, GFP_KERNEL)?;
            }
        }
        Ok(given)
    }

    /// Detaches the namespaces of VF `vf`, which leaves the bus, except those that the controller attaches
    /// to every VF: the next user must not find them.
    fn retire(&mut self, ctrl: &Controller<Nvme>, family: &Family, vf: u16) -> Result<Answer> {
        let _ = family.note(vf, Standing::Offline);
        let given = self.with_given(&[])?;
        let Some(secondary) = self.list.get_mut(usize::from(vf)) else {
            return Ok(Answer::Done);
        };
        if Attachments::are_known(ctrl) {
            self.attached.make(ctrl, vf, secondary.scid, &given)?;
        }
        secondary.is_present = false;
        secondary.is_set = false;
        self.live.retain(|live| *live != vf);
        Ok(Answer::Done)
    }

    /// Takes the resources and namespaces of all VFs back, which have left the bus.
    fn release(&mut self, ctrl: &Controller<Nvme>, family: &Family) -> Result<Answer> {
        for vf in 0..u16::try_from(self.list.len()).unwrap_or(u16::MAX) {
            // Only those that were not retired when they left the bus.
            if !self.present().any(|present| present == vf) {
                continue;
            }
            match self.retire(ctrl, family, vf) {
                Err(e) if is_interrupted(ctrl) => return Err(e),
                // If it failed, the namespaces are detached when the VF is enabled next.
                _ => {}
            }
        }
        self.take_back(ctrl);
        if is_interrupted(ctrl) {
            return Err(EAGAIN);
        }
        self.list = KVec::new();
        self.look(ctrl, family)?;
        Ok(Answer::Done)
    }

    /// Takes all VFs offline and their resources back. What the controller refuses stays.
    fn take_back(&self, ctrl: &Controller<Nvme>) {
        let Ok(Some(inventory)) = Inventory::read(ctrl) else {
            return;
        };
        for (vf, secondary) in (0..=u16::MAX).zip(&self.list) {
            secondary.take_back(ctrl, vf, &inventory);
        }
    }

    /// Provisions the enabled VFs again, after the controller was down. Returns how many have come
    /// online.
    pub(super) fn restore(
        &mut self,
        ctrl: &Controller<Nvme>,
        family: &Family,
        epoch: u32,
    ) -> Result<usize> {
        if self.list.is_empty() {
            return Ok(0);
        }
        let inventory = Inventory::read(ctrl)?.ok_or(EIO)?;
        self.attached = Attachments::read(ctrl)?;
        self.assign_all(ctrl, &inventory)?;
        let mut count: usize = 0;
        for vf in 0..u16::try_from(self.list.len()).unwrap_or(u16::MAX) {
            let is_leaving = family.desk().is_leaving(vf);
            if is_leaving || !self.present().any(|present| present == vf) {
                continue;
            }
            match self.restore_one(ctrl, family, vf) {
                Ok(()) => {
                    count = count.saturating_add(1);
                    family.note(vf, Standing::Online(epoch))?;
                }
                Err(e) if is_interrupted(ctrl) => return Err(e),
                // The other VFs can still come online.
                Err(_) => family.note(vf, Standing::Refused(epoch))?,
            }
        }
        self.look_at_resources(ctrl, family)?;
        Ok(count)
    }

    fn restore_one(&mut self, ctrl: &Controller<Nvme>, family: &Family, vf: u16) -> Result {
        let secondary = self.list.get(usize::from(vf)).ok_or(ENXIO)?;
        if secondary.is_set {
            let setting = family.desk().settings.namespaces(vf)?;
            let nsids = self.with_given(&setting)?;
            self.attached.make(ctrl, vf, secondary.scid, &nsids)?;
        }
        secondary.online(ctrl, vf)
    }

    /// Sets the number of resources of `kind` of VF `vf`. If the VF is enabled, it must be unused, and
    /// gets them at once; for 0, as many as the VF with the smallest share. On failure nothing changes.
    ///
    /// `EAGAIN` if the VF is enabled and may be in use, `ENOSPC` if not enough resources are free.
    #[allow(clippy::too_many_arguments)]
    fn set_share(
        &mut self,
        ctrl: &Controller<Nvme>,
        family: &Family,
        epoch: u32,
        vf: u16,
        kind: Resource,
        count: u16,
        is_unused: bool,
    ) -> Result<Answer> {
        let wanted = family.desk().settings.wanted(vf).with(kind, count);
        let inventory = Inventory::read(ctrl)?.ok_or(EOPNOTSUPP)?;
        inventory.check(ctrl, vf, wanted)?;
        if self.present().any(|present| present == vf) {
            if !is_unused {
                return Err(EAGAIN);
            }
            self.apply_share(ctrl, family, epoch, &inventory, vf, wanted)?;
        }
        family.desk().settings.get_mut(vf)?.wanted = wanted;
        // The job is done, even if sysfs still shows the old numbers.
        let _ = self.look_at_resources(ctrl, family);
        Ok(Answer::Done)
    }

    fn apply_share(
        &mut self,
        ctrl: &Controller<Nvme>,
        family: &Family,
        epoch: u32,
        inventory: &Inventory,
        vf: u16,
        wanted: Wanted,
    ) -> Result {
        let least = self.range().0;
        let secondary = self.list.get_mut(usize::from(vf)).ok_or(ENXIO)?;
        let (scid, old) = (secondary.scid, secondary.share);
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
                    ctrl.device(),
                    "VF {vf}: {count} {name} resources are wanted, and {free} are free\n"
                );
                return Err(ENOSPC);
            }
            share.set(kind, count);
        }

        secondary.share = share;
        let result = secondary.reassign(ctrl, vf);
        if result.is_err() {
            // If the controller has gone down, the VF is restored with this share, and then the job is
            // done again.
            secondary.share = old;
            if !is_interrupted(ctrl) && secondary.reassign(ctrl, vf).is_err() {
                let _ = family.note(vf, Standing::Refused(epoch));
            }
        }
        result
    }

    /// Sets the namespaces of VF `vf` to `nsids`. If the VF is enabled, they are attached at once, whether
    /// it has a driver or not.
    fn set_namespaces(
        &mut self,
        ctrl: &Controller<Nvme>,
        family: &Family,
        vf: u16,
        nsids: &[u32],
    ) -> Result<Answer> {
        namespaces::check(ctrl, vf, nsids)?;
        self.read_attachments(ctrl, family)?;
        namespaces::check_existence(ctrl, vf, nsids, &self.attached)?;
        let setting = namespaces::copy(nsids)?;
        let all = self.with_given(nsids)?;
        let is_present = self.present().any(|present| present == vf);
        if let (true, Some(secondary)) = (is_present, self.list.get_mut(usize::from(vf))) {
            let scid = secondary.scid;
            let mut ours = KVec::new();
            if nsids.is_empty() {
                let nsids = without_setting(secondary, &self.attached)?;
                if secondary.is_set {
                    self.attached.change(ctrl, vf, scid, &nsids)?;
                }
            } else {
                // Those that others have attached before are not ours.
                for &nsid in nsids {
                    let is_ours = secondary.ours.contains(&nsid);
                    if is_ours || !self.attached.of_controller(scid).any(|other| other == nsid) {
                        ours.push(nsid, GFP_KERNEL)?;
                    }
                }
                // Until the change is done, all that it may have attached counts as ours, so that it can
                // be undone.
                let mut both = namespaces::copy(&ours)?;
                both.extend_from_slice(&secondary.ours, GFP_KERNEL)?;
                core::mem::swap(&mut secondary.ours, &mut both);
                if let Err(e) = self.attached.change(ctrl, vf, scid, &all) {
                    if !is_interrupted(ctrl) {
                        core::mem::swap(&mut secondary.ours, &mut both);
                    }
                    return Err(e);
                }
            }
            secondary.is_set = !nsids.is_empty();
            secondary.ours = ours;
        }
        family.desk().settings.get_mut(vf)?.namespaces = setting;
        let _ = self.look_at_resources(ctrl, family);
        Ok(Answer::Done)
    }

    /// Reads what the controller has, for sysfs.
    pub(super) fn look(&mut self, ctrl: &Controller<Nvme>, family: &Family) -> Result {
        if Inventory::exists(ctrl) {
            self.read_attachments(ctrl, family)?;
        }
        self.look_at_resources(ctrl, family)
    }

    /// As [`Actual::look`], but without reading the attachments.
    fn look_at_resources(&self, ctrl: &Controller<Nvme>, family: &Family) -> Result {
        let Some(inventory) = Inventory::read(ctrl)? else {
            return Ok(());
        };
        let mut vfs = KVec::new();
        for (vf, secondary) in inventory.secondaries() {
            let attached = if Attachments::are_known(ctrl) {
                Some(self.attached.list(secondary.scid.get())?)
            } else {
                None
            };
            vfs.push(
                Seen {
                    vf,
                    secondary,
                    attached,
                },
                GFP_KERNEL,
            )?;
        }
        family.desk().view = View {
            assigned: KINDS.map(|kind| inventory.held(kind, |_| true)),
            caps: Some(inventory.caps),
            vfs,
        };
        Ok(())
    }
}

/// Returns the namespaces that `secondary` would have if none had been set for it.
fn without_setting(secondary: &Secondary, attached: &Attachments) -> Result<KVec<u32>> {
    let mut nsids = KVec::new();
    for nsid in attached.of_controller(secondary.scid) {
        if !secondary.ours.contains(&nsid) {
            nsids.push(nsid, GFP_KERNEL)?;
        }
    }
    Ok(nsids)
}
