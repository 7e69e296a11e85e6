// SPDX-License-Identifier: GPL-2.0

//! The folder `nvme_sriov` of a physical function: its flexible resources, and what each VF is to
//! have and has. `Documentation/ABI/testing/sysfs-driver-nvme-rs` describes it.

use super::{
    inventory::Inventory,
    set_namespaces,
    set_wanted, //
};
use crate::{
    controller::Nvme,
    spec::virtualization::{
        Resource,
        ResourceCapabilities,
        SecondaryController, //
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
    sync::aref::ARef, //
};
use kernel_ext::{
    nvme::Controller,
    pci::{
        sriov::lock_vf,
        DeviceExt,
        DeviceLocked, //
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
    /// Makes the folders of `pdev`, or none if its controller has no Virtualization Management,
    /// or it no VFs.
    pub(crate) fn new(ctrl: &Controller<Nvme>, pdev: &pci::Device<Bound>) -> Result<Option<Self>> {
        if !pdev.is_physfn() || !Inventory::exists(ctrl) {
            return Ok(None);
        }
        let root = Folder::new(pdev.as_ref(), c"nvme_sriov", Root)?;
        let pool = |name, kind| {
            let ctrl = ctrl.into();
            Folder::new(&root, name, PoolView { ctrl, kind })
        };
        let pools = [
            pool(c"queues", Resource::Queue)?,
            pool(c"interrupts", Resource::Interrupt)?,
        ];
        let mut vfs = KVec::new();
        for vf in 0..pdev.total_vfs() {
            let name = CString::try_from_fmt(fmt!("vf{vf}"))?;
            let ctrl = ctrl.into();
            vfs.push(Folder::new(&root, &name, Vf { ctrl, vf })?, GFP_KERNEL)?;
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

/// Reads what the controller says; `ENXIO` if it does not say anything any more.
fn inventory(ctrl: &Controller<Nvme>) -> Result<Inventory> {
    Inventory::read(ctrl)?.ok_or(ENXIO)
}

/// The flexible resources of one kind.
struct PoolView {
    ctrl: ARef<Controller<Nvme>>,
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
            let assigned = inventory(&pool.ctrl)?.held(pool.kind, |_| true);
            Ok(writeln!(out, "{assigned}")?)
        }),
        Attribute::read_only(c"free", |pool, out| {
            let free = inventory(&pool.ctrl)?.pool(pool.kind, |_| false);
            Ok(writeln!(out, "{}", free.map_or(0, |pool| pool.free))?)
        }),
    ];
}

impl PoolView {
    /// Prints one of the capabilities; 0 if the controller hands out none of this kind.
    fn show(&self, out: &mut Output<'_>, pick: fn(&ResourceCapabilities) -> u32) -> Result {
        let caps = inventory(&self.ctrl)?.caps;
        let value = match caps.supports(self.kind) {
            true => pick(caps.resource(self.kind)),
            false => 0,
        };
        Ok(writeln!(out, "{value}")?)
    }
}

/// A VF, which need not be enabled.
struct Vf {
    ctrl: ARef<Controller<Nvme>>,
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
        Attribute::read_only(c"assigned_queues", |vf, out| {
            Ok(writeln!(out, "{}", vf.secondary()?.nvq.get())?)
        }),
        Attribute::read_only(c"assigned_interrupts", |vf, out| {
            Ok(writeln!(out, "{}", vf.secondary()?.nvi.get())?)
        }),
        Attribute::read_only(c"cntlid", |vf, out| {
            Ok(writeln!(out, "{}", vf.secondary()?.scid.get())?)
        }),
        Attribute::read_only(c"state", |vf, out| {
            let state = match vf.secondary()?.is_online() {
                true => "online",
                false => "offline",
            };
            Ok(writeln!(out, "{state}")?)
        }),
    ];
}

impl Vf {
    /// The VF's controller. `ENXIO` if the controller does not know the VF.
    fn secondary(&self) -> Result<SecondaryController> {
        inventory(&self.ctrl)?.find(self.vf).ok_or(ENXIO)
    }

    fn show_wanted(&self, out: &mut Output<'_>, kind: Resource) -> Result {
        let wanted = self.ctrl.data().vfs.lock().settings.wanted(self.vf);
        Ok(writeln!(out, "{}", wanted.get(kind))?)
    }

    fn set_wanted(&self, input: &str, kind: Resource) -> Result {
        let count = u16::from_str(BStr::from_bytes(input.as_bytes()))?;
        let pf = DeviceLocked::in_store(&self.ctrl.data().pdev)?;
        let vf = match lock_vf(&pf, self.vf) {
            Ok(vf) if vf.has_driver() => return Err(EBUSY),
            Ok(vf) => Some(vf),
            // It is not enabled.
            Err(_) => None,
        };
        let result = set_wanted(&self.ctrl, self.vf, |wanted| wanted.with(kind, count));
        drop(vf);
        result
    }

    fn show_namespaces(&self, out: &mut Output<'_>) -> Result {
        let vfs = self.ctrl.data().vfs.lock();
        let mut separator = "";
        for nsid in vfs.settings.namespaces(self.vf) {
            write!(out, "{separator}{nsid}")?;
            separator = " ";
        }
        Ok(writeln!(out)?)
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
        let _pf = DeviceLocked::in_store(&self.ctrl.data().pdev)?;
        set_namespaces(&self.ctrl, self.vf, nsids)
    }
}
