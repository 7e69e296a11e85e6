// SPDX-License-Identifier: GPL-2.0

//! Which namespaces are attached to which controllers: reads and changes that, by commands of the owner.

use super::command;
use crate::{
    controller::Nvme,
    spec::namespaces, //
};
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// A namespace that is allocated.
struct Namespace {
    nsid: u32,
    /// The controllers that it is attached to.
    controllers: KVec<u16>,
}

/// All allocated namespaces, in ascending order.
#[derive(Default)]
pub(super) struct Attachments(KVec<Namespace>);

impl Attachments {
    /// Returns whether the controller supports attaching namespaces, and so reports attachments.
    pub(super) fn are_known(ctrl: &Controller<Nvme>) -> bool {
        ctrl.oacs() & namespaces::OACS_NAMESPACES != 0
    }

    /// Reads all attachments, with one command for each namespace at least; none if the controller does
    /// not report them.
    pub(super) fn read(ctrl: &Controller<Nvme>) -> Result<Self> {
        let mut all = KVec::new();
        if !Self::are_known(ctrl) {
            return Ok(Self(all));
        }
        let mut last = 0;
        loop {
            let data = command::identify(ctrl, namespaces::CNS_ALLOCATED_LIST, last, 0)?;
            let before = last;
            // The list is in ascending order. Entries that are not are skipped, so that the loop ends.
            for nsid in namespaces::nsids(&data[..]) {
                if nsid > last {
                    all.push(Namespace::read(ctrl, nsid)?, GFP_KERNEL)?;
                    last = nsid;
                }
            }
            if before == last || namespaces::nsids(&data[..]).count() < namespaces::NSIDS_IN_LIST {
                return Ok(Self(all));
            }
        }
    }

    /// Returns whether namespace `nsid` exists.
    pub(super) fn exists(&self, nsid: u32) -> bool {
        self.0.iter().any(|namespace| namespace.nsid == nsid)
    }

    /// Returns the namespaces of controller `cntlid`, in ascending order.
    pub(super) fn of_controller(&self, cntlid: u16) -> impl Iterator<Item = u32> + '_ {
        self.0
            .iter()
            .filter(move |namespace| namespace.controllers.contains(&cntlid))
            .map(|namespace| namespace.nsid)
    }

    /// Returns the namespaces of controller `cntlid` as a list.
    pub(super) fn list(&self, cntlid: u16) -> Result<KVec<u32>> {
        let mut list = KVec::new();
        for nsid in self.of_controller(cntlid) {
            list.push(nsid, GFP_KERNEL)?;
        }
        Ok(list)
    }

    /// Returns the namespaces that all of `cntlids` have.
    pub(super) fn common(&self, cntlids: &[u16]) -> Result<KVec<u32>> {
        let mut list = KVec::new();
        for namespace in &self.0 {
            let has = |cntlid| namespace.controllers.contains(cntlid);
            if !cntlids.is_empty() && cntlids.iter().all(has) {
                list.push(namespace.nsid, GFP_KERNEL)?;
            }
        }
        Ok(list)
    }

    /// Attaches exactly `nsids` to VF `vf`, whose controller is `cntlid`. Nobody uses the VF: namespaces
    /// are detached first.
    pub(super) fn make(
        &mut self,
        ctrl: &Controller<Nvme>,
        vf: u16,
        cntlid: u16,
        nsids: &[u32],
    ) -> Result {
        let change = Change::new(self, cntlid, nsids)?;
        self.detach_all(ctrl, vf, cntlid, &change.detach)?;
        self.attach_all(ctrl, vf, cntlid, &change.attach)
    }

    /// Attaches exactly `nsids` to VF `vf`, which may be in use: namespaces are attached first. On failure
    /// the change is undone, unless the controller refuses that, too.
    pub(super) fn change(
        &mut self,
        ctrl: &Controller<Nvme>,
        vf: u16,
        cntlid: u16,
        nsids: &[u32],
    ) -> Result {
        let change = Change::new(self, cntlid, nsids)?;
        let before = self.list(cntlid)?;
        let result = self
            .attach_all(ctrl, vf, cntlid, &change.attach)
            .and_then(|()| self.detach_all(ctrl, vf, cntlid, &change.detach));
        if result.is_err() && !super::command::is_interrupted(ctrl) {
            let undo = Change::new(self, cntlid, &before)?;
            let _ = self.attach_all(ctrl, vf, cntlid, &undo.attach);
            let _ = self.detach_all(ctrl, vf, cntlid, &undo.detach);
        }
        result
    }

    fn attach_all(
        &mut self,
        ctrl: &Controller<Nvme>,
        vf: u16,
        cntlid: u16,
        nsids: &[u32],
    ) -> Result {
        for &nsid in nsids {
            command::attach(ctrl, vf, cntlid, nsid)?;
            let Some(namespace) = self.0.iter_mut().find(|n| n.nsid == nsid) else {
                continue;
            };
            if !namespace.controllers.contains(&cntlid) {
                namespace.controllers.push(cntlid, GFP_KERNEL)?;
            }
        }
        Ok(())
    }

    fn detach_all(
        &mut self,
        ctrl: &Controller<Nvme>,
        vf: u16,
        cntlid: u16,
        nsids: &[u32],
    ) -> Result {
        for &nsid in nsids {
            command::detach(ctrl, vf, cntlid, nsid)?;
            if let Some(namespace) = self.0.iter_mut().find(|n| n.nsid == nsid) {
                namespace.controllers.retain(|other| *other != cntlid);
            }
        }
        Ok(())
    }
}

impl Namespace {
    fn read(ctrl: &Controller<Nvme>, nsid: u32) -> Result<Self> {
        let mut controllers = KVec::new();
        let mut from = 0;
        loop {
            let data = command::identify(ctrl, namespaces::CNS_ATTACHED_CONTROLLERS, nsid, from)?;
            let mut count = 0;
            let mut last = from;
            for cntlid in namespaces::cntlids(&data[..]) {
                controllers.push(cntlid, GFP_KERNEL)?;
                count += 1;
                last = last.max(cntlid);
            }
            from = match last.checked_add(1) {
                Some(next) if count == namespaces::CNTLIDS_IN_LIST => next,
                _ => return Ok(Self { nsid, controllers }),
            };
        }
    }
}

/// The namespaces to attach to a controller, and to detach.
struct Change {
    attach: KVec<u32>,
    detach: KVec<u32>,
}

impl Change {
    /// Returns the change after which `cntlid` has `nsids` and no others.
    fn new(all: &Attachments, cntlid: u16, nsids: &[u32]) -> Result<Self> {
        let mut this = Self {
            attach: KVec::new(),
            detach: KVec::new(),
        };
        let before = all.list(cntlid)?;
        for &nsid in nsids.iter().filter(|nsid| !before.contains(nsid)) {
            this.attach.push(nsid, GFP_KERNEL)?;
        }
        for &nsid in before.iter().filter(|nsid| !nsids.contains(nsid)) {
            this.detach.push(nsid, GFP_KERNEL)?;
        }
        Ok(this)
    }
}
