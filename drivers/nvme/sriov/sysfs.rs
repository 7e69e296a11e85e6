// SPDX-License-Identifier: GPL-2.0

//! The folder `nvme_sriov` of a physical function: its flexible resources, and what each VF is to
//! have and has. `Documentation/ABI/testing/sysfs-driver-nvme-rs` describes it.
//!
//! A read shows what the owner has seen last, and waits for nothing. A write is done when it returns, or
//! has failed and changed nothing. It waits for the owner, with no lock held but that of a VF without a
//! driver. The PF's unbinding waits for reads and writes.

use super::{
    desk::{
        Desk,
        Job,
        Patience,
        Primary, //
    },
    family::Family,
    inventory::Inventory,
    namespaces::copy,
    view::Seen, //
};
use crate::{
    controller::Nvme,
    faults,
    spec::virtualization::{
        Resource,
        ResourceCapabilities, //
    },
};
use kernel::{
    device::Bound,
    fmt::Write,
    pci,
    prelude::*,
    str::{
        parse_int::ParseInt,
        BStr,
        CString, //
    },
    sync::Arc, //
};
use kernel_ext::{
    nvme::Controller,
    pci::{
        sriov::lock_vf,
        DeviceExt, //
    },
    sysfs::{
        Attribute,
        Attributes,
        Folder,
        Output, //
    },
};

/// The folders of a physical function.
///
/// Fields are dropped in this order: a folder goes after those in it.
pub(crate) struct Folders {
    _vfs: KVec<Folder<Vf>>,
    _pools: [Folder<PoolView>; 2],
    _root: Folder<Root>,
}

impl Folders {
    /// Creates the folders of `pdev`. Returns `None` if its controller does not support Virtualization
    /// Management.
    pub(crate) fn new(
        family: &Arc<Family>,
        ctrl: &Controller<Nvme>,
        pdev: &pci::Device<Bound>,
    ) -> Result<Option<Self>> {
        if !Inventory::exists(ctrl) {
            return Ok(None);
        }
        let root = Folder::new(pdev.as_ref(), c"nvme_sriov", Root)?;
        let pool = |name, kind| {
            let family = family.clone();
            Folder::new(&root, name, PoolView { family, kind })
        };
        let pools = [
            pool(c"queues", Resource::Queue)?,
            pool(c"interrupts", Resource::Interrupt)?,
        ];
        let mut vfs = KVec::new();
        for vf in 0..faults::total_vfs(pdev.total_vfs()).min(MOST_VFS) {
            let name = CString::try_from_fmt(fmt!("vf{vf}"))?;
            let family = family.clone();
            vfs.push(Folder::new(&root, &name, Vf { family, vf })?, GFP_KERNEL)?;
        }
        Ok(Some(Self {
            _vfs: vfs,
            _pools: pools,
            _root: root,
        }))
    }
}

/// The folder that holds the others.
struct Root;

impl Attributes for Root {
    const LIST: &'static [Attribute<Self>] = &[];
}

/// The largest number of folders of VFs: a Secondary Controller List has no more entries.
const MOST_VFS: u16 = 127;

/// Calls `f` with what is on the family's desk. `ENODEV` if the controller is gone.
fn with_desk<R>(family: &Family, f: impl FnOnce(&Desk) -> Result<R>) -> Result<R> {
    let desk = family.desk();
    match desk.primary {
        Primary::Gone => Err(ENODEV),
        _ => f(&desk),
    }
}

/// The flexible resources of one kind.
struct PoolView {
    family: Arc<Family>,
    kind: Resource,
}

impl Attributes for PoolView {
    const LIST: &'static [Attribute<Self>] = &[
        Attribute::read_only(c"total", |pool, out| {
            pool.show(out, |caps| caps.flexible_total.get())
        }),
        Attribute::read_only(c"primary", |pool, out| {
            pool.show(out, |caps| caps.flexible_primary.get().into())
        }),
        Attribute::read_only(c"granularity", |pool, out| {
            pool.show(out, |caps| caps.granularity.get().into())
        }),
        Attribute::read_only(c"vf_max", |pool, out| {
            pool.show(out, |caps| caps.secondary_max.get().into())
        }),
        Attribute::read_only(c"assigned", |pool, out| {
            let assigned = with_desk(&pool.family, |desk| Ok(pool.assigned(desk)))?;
            Ok(writeln!(out, "{assigned}")?)
        }),
        Attribute::read_only(c"free", |pool, out| {
            pool.show_with(out, |caps, assigned| {
                caps.flexible_total
                    .get()
                    .saturating_sub(caps.flexible_primary.get().into())
                    .saturating_sub(assigned)
            })
        }),
    ];
}

impl PoolView {
    /// Returns how many resources are assigned to secondary controllers.
    fn assigned(&self, desk: &Desk) -> u32 {
        let [queues, interrupts] = desk.view.assigned;
        match self.kind {
            Resource::Queue => queues,
            Resource::Interrupt => interrupts,
        }
    }

    /// Prints one of the capabilities; 0 if the controller has no flexible resources of this kind.
    fn show(&self, out: &mut Output<'_>, pick: fn(&ResourceCapabilities) -> u32) -> Result {
        self.show_with(out, |caps, _| pick(caps))
    }

    fn show_with(
        &self,
        out: &mut Output<'_>,
        pick: impl FnOnce(&ResourceCapabilities, u32) -> u32,
    ) -> Result {
        let value = with_desk(&self.family, |desk| {
            let caps = desk.view.caps.ok_or(ENXIO)?;
            Ok(if caps.supports(self.kind) {
                pick(caps.resource(self.kind), self.assigned(desk))
            } else {
                0
            })
        })?;
        Ok(writeln!(out, "{value}")?)
    }
}

/// A VF, which need not be enabled.
struct Vf {
    family: Arc<Family>,
    vf: u16,
}

impl Attributes for Vf {
    const LIST: &'static [Attribute<Self>] = &[
        Attribute::writable(
            c"queues",
            |vf, out| vf.show_wanted(out, Resource::Queue),
            |vf, input| vf.set_wanted(input, Resource::Queue),
        ),
        Attribute::writable(
            c"interrupts",
            |vf, out| vf.show_wanted(out, Resource::Interrupt),
            |vf, input| vf.set_wanted(input, Resource::Interrupt),
        ),
        Attribute::writable(c"namespaces", Self::show_namespaces, Self::set_namespaces),
        Attribute::read_only(c"attached", Self::show_attached),
        Attribute::read_only(c"assigned_queues", |vf, out| {
            let count = vf.seen(|seen| seen.secondary.nvq.get())?;
            Ok(writeln!(out, "{count}")?)
        }),
        Attribute::read_only(c"assigned_interrupts", |vf, out| {
            let count = vf.seen(|seen| seen.secondary.nvi.get())?;
            Ok(writeln!(out, "{count}")?)
        }),
        Attribute::read_only(c"cntlid", |vf, out| {
            let cntlid = vf.seen(|seen| seen.secondary.scid.get())?;
            Ok(writeln!(out, "{cntlid}")?)
        }),
        Attribute::read_only(c"state", |vf, out| {
            vf.seen(|_| ())?;
            let is_online = with_desk(&vf.family, |desk| Ok(desk.is_online(vf.vf)))?;
            let state = if is_online { "online" } else { "offline" };
            Ok(writeln!(out, "{state}")?)
        }),
    ];
}

/// Prints a list of namespaces.
fn show_list(out: &mut Output<'_>, nsids: &[u32]) -> Result {
    let mut separator = "";
    for nsid in nsids {
        write!(out, "{separator}{nsid}")?;
        separator = " ";
    }
    Ok(writeln!(out)?)
}

impl Vf {
    /// Returns what `pick` takes from the view of the VF. `ENXIO` if the controller does not list the VF.
    fn seen<R>(&self, pick: impl FnOnce(&Seen) -> R) -> Result<R> {
        with_desk(&self.family, |desk| {
            desk.view.find(self.vf).map(pick).ok_or(ENXIO)
        })
    }

    fn show_wanted(&self, out: &mut Output<'_>, kind: Resource) -> Result {
        let wanted = self.family.desk().settings.wanted(self.vf);
        Ok(writeln!(out, "{}", wanted.get(kind))?)
    }

    fn set_wanted(&self, input: &str, kind: Resource) -> Result {
        let count = u16::from_str(BStr::from_bytes(input.as_bytes()))?;
        set_share(&self.family, self.vf, kind, count)
    }

    fn show_namespaces(&self, out: &mut Output<'_>) -> Result {
        let nsids = self.family.desk().settings.namespaces(self.vf)?;
        show_list(out, &nsids)
    }

    /// `EOPNOTSUPP` if the controller does not report attachments.
    fn show_attached(&self, out: &mut Output<'_>) -> Result {
        let nsids = self.seen(|seen| seen.attached.as_deref().map(copy).transpose())??;
        show_list(out, &nsids.ok_or(EOPNOTSUPP)?)
    }

    fn set_namespaces(&self, input: &str) -> Result {
        let mut nsids = KVec::new();
        let separators = |c: char| c.is_ascii_whitespace() || c == ',';
        for nsid in input.split(separators).filter(|word| !word.is_empty()) {
            nsids.push(
                u32::from_str(BStr::from_bytes(nsid.as_bytes()))?,
                GFP_KERNEL,
            )?;
        }
        set_namespaces(&self.family, self.vf, nsids)
    }
}

/// Sets the number of resources of VF `vf` to `count`; 0 for an equal share.
///
/// `EOPNOTSUPP` if the controller has no flexible resources of this kind, `EINVAL` if no VF can have that
/// many, `ENOSPC` if not enough are free, `EBUSY` if the VF has a driver.
fn set_share(family: &Arc<Family>, vf: u16, kind: Resource, count: u16) -> Result {
    loop {
        let function = lock_vf(&family.pf, vf).ok();
        if function.as_ref().is_some_and(|vf| vf.has_driver()) {
            return Err(EBUSY);
        }
        let is_unused = function.is_some();
        let job = Job::Share {
            vf,
            kind,
            count,
            is_unused,
        };
        let patience = if is_unused {
            Patience::Locked
        } else {
            Patience::Any
        };
        match family.post(job, patience) {
            // The VF has been enabled meanwhile.
            Err(e) if e == EAGAIN && !is_unused => {}
            answer => return answer.map(drop),
        }
    }
}

/// Sets the namespaces of VF `vf` to `nsids`. If the VF is enabled, they are attached at once, whether it
/// has a driver or not.
fn set_namespaces(family: &Arc<Family>, vf: u16, nsids: KVec<u32>) -> Result {
    let job = Job::Namespaces { vf, nsids };
    family.post(job, Patience::Any).map(drop)
}
