// SPDX-License-Identifier: GPL-2.0

//! The namespaces of a VF: attached when it goes online, detached when it goes.

use super::command;
use crate::{
    controller::Nvme,
    spec::namespaces, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use kernel_ext::nvme::Controller;

/// A namespace that a VF is to have.
struct Namespace {
    nsid: u32,
    /// Whether we attached it, so that it is ours to detach.
    ours: Atomic<bool>,
}

/// The namespaces that a VF is to have.
pub(super) struct Attached(KVec<Namespace>);

impl Attached {
    /// The namespaces `nsids`, none of which we have attached.
    pub(super) fn new(nsids: &[u32]) -> Result<Self> {
        let mut list = KVec::with_capacity(nsids.len(), GFP_KERNEL)?;
        for &nsid in nsids {
            let ours = Atomic::new(false);
            list.push(Namespace { nsid, ours }, GFP_KERNEL)?;
        }
        Ok(Self(list))
    }

    /// Attaches all of them to the controller `scid` of VF `vf`. Those that are attached, by
    /// whomever, stay so.
    pub(super) fn attach(&self, ctrl: &Controller<Nvme>, vf: u16, scid: u16) -> Result {
        self.0
            .iter()
            .try_for_each(|namespace| namespace.attach(ctrl, vf, scid))
    }

    /// Detaches those that we attached, as far as the controller lets us.
    pub(super) fn detach(&self, ctrl: &Controller<Nvme>, vf: u16, scid: u16) {
        for namespace in &self.0 {
            namespace.detach(ctrl, vf, scid);
        }
    }

    /// Makes `nsids` the namespaces: attaches those that are new, then detaches those that are
    /// missing. On failure all is as before.
    pub(super) fn replace(
        &mut self,
        ctrl: &Controller<Nvme>,
        vf: u16,
        scid: u16,
        nsids: &[u32],
    ) -> Result {
        let new = Self::new(nsids)?;
        let is_new = |nsid| !self.0.iter().any(|namespace| namespace.nsid == nsid);
        for namespace in &new.0 {
            if !is_new(namespace.nsid) {
                continue;
            }
            if let Err(e) = namespace.attach(ctrl, vf, scid) {
                new.detach(ctrl, vf, scid);
                return Err(e);
            }
        }
        for old in &self.0 {
            match new.0.iter().find(|new| new.nsid == old.nsid) {
                Some(new) => new.ours.store(old.ours.load(Relaxed), Relaxed),
                None => old.detach(ctrl, vf, scid),
            }
        }
        *self = new;
        Ok(())
    }
}

impl Namespace {
    fn attach(&self, ctrl: &Controller<Nvme>, vf: u16, scid: u16) -> Result {
        if command::attach(ctrl, vf, scid, self.nsid)? {
            self.ours.store(true, Relaxed);
        }
        Ok(())
    }

    fn detach(&self, ctrl: &Controller<Nvme>, vf: u16, scid: u16) {
        if self.ours.load(Relaxed) && command::detach(ctrl, vf, scid, self.nsid).is_ok() {
            self.ours.store(false, Relaxed);
        }
    }
}

/// Checks what the administrator wants a VF to have: `EINVAL` if a number cannot be a
/// namespace's, or is there twice, `EOPNOTSUPP` if the controller attaches none, `ENXIO` if there
/// is no such namespace.
pub(super) fn check(ctrl: &Controller<Nvme>, vf: u16, nsids: &[u32]) -> Result {
    if !nsids.is_empty() && ctrl.oacs() & namespaces::OACS_NAMESPACES == 0 {
        dev_err!(ctrl.device(), "the controller cannot attach namespaces\n");
        return Err(EOPNOTSUPP);
    }
    for (i, &nsid) in nsids.iter().enumerate() {
        if !namespaces::is_valid(nsid) || nsids.iter().skip(i + 1).any(|&other| other == nsid) {
            dev_err!(
                ctrl.device(),
                "VF {vf}: namespace {nsid} is there twice, or no namespace can have this number\n"
            );
            return Err(EINVAL);
        }
        let data = command::read(ctrl, namespaces::CNS_ALLOCATED_NAMESPACE, nsid)?;
        if !namespaces::exists(&data) {
            dev_err!(
                ctrl.device(),
                "VF {vf}: there is no namespace {nsid}; nvme list-ns -a shows those that are\n"
            );
            return Err(ENXIO);
        }
    }
    Ok(())
}
