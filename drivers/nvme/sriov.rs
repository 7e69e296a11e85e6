// SPDX-License-Identifier: GPL-2.0

//! The physical function owns its virtual functions: they get their resources before they exist,
//! and are online before any driver sees them.
//!
//! In order: the controller's resources ([`inventory`]) are divided by the [`plan`] and the
//! administrator's [`setting`]s, and assigned to the [`secondaries`]; the PCI core enables the
//! VFs; as each one joins the bus, its [`namespaces`] are attached and it is brought online.
//! Whatever fails, what was done is undone in reverse by the values that stand for it.
//!
//! Locks: the device lock of the PF and the PCI rescan lock are held by the callers of
//! [`configure`] and [`disable`]; `Nvme::vfs` comes next, and is held while the VFs' drivers are
//! probed. Who changes a VF's setting holds the PF's device lock, and the VF's if the VF must have
//! no driver, before `Nvme::vfs`. A reset of the PF that comes in between does not wait for it,
//! see [`provision_again`].

mod command;
mod inventory;
mod namespaces;
mod plan;
mod primary;
mod secondaries;
mod setting;
mod sysfs;

pub(crate) use self::sysfs::Folders;
use self::{
    inventory::Inventory,
    secondaries::Secondaries,
    setting::{
        Settings,
        Wanted, //
    },
};
use crate::{
    controller::Nvme,
    driver::NvmeDriver,
    spec::virtualization::Resource, //
};
use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use kernel_ext::{
    nvme::{
        Controller,
        State, //
    },
    pci::{
        sriov::{
            RescanLocked,
            VfsEnabled,
            VirtualFunction, //
        },
        Adapter,
        BusEvent,
        BusNotifier,
        DeviceExt,
        NoRoom, //
    },
};

/// The kinds of resources.
const KINDS: [Resource; 2] = [Resource::Queue, Resource::Interrupt];

/// The least that a controller needs: an admin and an I/O queue, and one interrupt.
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

/// A PF's VFs: what the administrator wants of them, and those that there are.
#[derive(Default)]
pub(crate) struct Virtualization {
    settings: Settings,
    enabled: Option<Vfs>,
}

/// The enabled VFs of a PF.
///
/// Fields are dropped in this order: the functions go, then their resources return.
struct Vfs {
    functions: VfsEnabled,
    /// `None` if the controller has no resources to share out.
    secondaries: Option<Secondaries>,
}

/// Makes `num` the number of enabled VFs, as `sriov_numvfs` wants it. Returns that number.
///
/// `EBUSY` if VFs are enabled and `num` is not 0, `ENODEV` if the controller is not live,
/// `ENOSPC` if its resources are short, and the PCI core's errors.
pub(crate) fn configure(
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Core<'_>>,
    num: u16,
    lock: &RescanLocked,
) -> Result<u16> {
    if num == 0 {
        disable(ctrl, lock);
        return Ok(0);
    }
    let mut vfs = ctrl.data().vfs.lock();
    if vfs.enabled.is_some() {
        return Err(EBUSY);
    }
    if ctrl.state() != State::Live {
        dev_err!(
            ctrl.device(),
            "cannot enable VFs: the controller is not live\n"
        );
        return Err(ENODEV);
    }

    let secondaries = Secondaries::assign(ctrl, pdev, num, &vfs.settings).inspect_err(|e| {
        // Whatever else can fail has been told of by now.
        if *e == ENOMEM {
            dev_err!(ctrl.device(), "cannot enable {num} VFs: out of memory\n");
        }
    })?;
    let functions = enable_functions(ctrl, pdev, num, secondaries.as_ref(), lock)?;
    announce(ctrl, pdev, num, secondaries.as_ref());
    vfs.enabled = Some(Vfs {
        functions,
        secondaries,
    });
    Ok(num)
}

/// Says what the VFs have.
fn announce(
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Core<'_>>,
    num: u16,
    secondaries: Option<&Secondaries>,
) {
    let total = pdev.total_vfs();
    if !pdev.has_iommu() {
        dev_notice!(
            ctrl.device(),
            "there is no IOMMU: the VFs are not isolated, whoever has one can reach all memory\n"
        );
    }
    let Some((least, most)) = secondaries.map(Secondaries::range) else {
        dev_info!(
            ctrl.device(),
            "enabled {num} of {total} VFs with resources of their own\n"
        );
        return;
    };
    if least == most {
        dev_info!(
            ctrl.device(),
            "enabled {num} of {total} VFs: {} queues and {} interrupts each\n",
            least.queues,
            least.interrupts
        );
    } else {
        dev_info!(
            ctrl.device(),
            "enabled {num} of {total} VFs: {} to {} queues and {} to {} interrupts each\n",
            least.queues,
            most.queues,
            least.interrupts,
            most.interrupts
        );
    }
}

/// Has the PCI core enable `num` VFs. When each joins the bus, it is brought online, and put in
/// its place in the order of system sleep.
fn enable_functions(
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Core<'_>>,
    num: u16,
    secondaries: Option<&Secondaries>,
    lock: &RescanLocked,
) -> Result<VfsEnabled> {
    // The errno of the first VF that could not be brought online; 0 if all could.
    let failure = Atomic::new(0);
    let pf: &pci::Device = pdev;
    let happened = |event, dev: &pci::Device| {
        let Some(vf) = dev.index_in(pf) else {
            return;
        };
        if event == BusEvent::Removed {
            return detach(secondaries, vf);
        }
        let online = secondaries.map_or(Ok(()), |secondaries| secondaries.bring_online(vf));
        let linked = online.and_then(|()| {
            dev.sleep_before(pf).inspect_err(|e| {
                dev_err!(
                    ctrl.device(),
                    "VF {vf}: cannot link its system sleep to the PF's: {e:?}\n"
                );
            })
        });
        if let Err(e) = linked {
            let _ = failure.cmpxchg(0, e.to_errno(), Full);
        }
    };
    BusNotifier::listen(&happened, || {
        let functions = VfsEnabled::new(pdev, num, lock).inspect_err(|e| {
            explain(ctrl, pdev, num, e);
        })?;
        match failure.load(Relaxed) {
            0 => Ok(functions),
            errno => {
                functions.disable(lock);
                Err(Error::from_errno(errno))
            }
        }
    })?
}

/// Says why the PCI core cannot enable `num` VFs, and what to do.
fn explain(ctrl: &Controller<Nvme>, pdev: &pci::Device<Core<'_>>, num: u16, error: &Error) {
    match NoRoom::find(pdev, num) {
        Some(NoRoom::Memory { bar, size }) => dev_err!(
            ctrl.device(),
            "cannot enable {num} VFs: the bridge above has no memory window of {} KiB, which VF \
             BAR {bar} needs; have the firmware reserve more, or try pci=realloc\n",
            size >> 10
        ),
        Some(NoRoom::Buses { needed, last }) => dev_err!(
            ctrl.device(),
            "cannot enable {num} VFs: the last one needs bus {needed}, and the bridge above has \
             buses up to {last}; enable fewer, or try pci=assign-busses\n"
        ),
        None => dev_err!(
            ctrl.device(),
            "cannot enable {num} VFs: the PCI core says {error:?}\n"
        ),
    }
}

/// Detaches from VF `vf`, which is being removed, what was attached to it.
fn detach(secondaries: Option<&Secondaries>, vf: u16) {
    if let Some(secondaries) = secondaries {
        secondaries.detach(vf);
    }
}

/// Whether VFs are enabled.
pub(crate) fn is_enabled(ctrl: &Controller<Nvme>) -> bool {
    ctrl.data().vfs.lock().enabled.is_some()
}

/// Disables all VFs, if any are enabled, and takes their resources back.
pub(crate) fn disable(ctrl: &Controller<Nvme>, lock: &RescanLocked) {
    let vfs = ctrl.data().vfs.lock().enabled.take();
    if let Some(Vfs {
        functions,
        secondaries,
    }) = vfs
    {
        let count = functions.count();
        let pdev = &ctrl.data().pdev;
        let happened = |event, dev: &pci::Device| {
            if let (BusEvent::Removed, Some(vf)) = (event, dev.index_in(pdev)) {
                detach(secondaries.as_ref(), vf);
            }
        };
        // If it cannot listen, they are disabled all the same: `functions` is dropped.
        let _ = BusNotifier::listen(&happened, move || functions.disable(lock));
        drop(secondaries);
        dev_info!(ctrl.device(), "disabled {count} VFs\n");
    }
}

/// Waits until no VF is being reset, for at most five seconds. To be called before a reset of the
/// PF: in the middle of theirs it would leave them without answers, and they would be given up.
///
/// Whoever is enabling or disabling VFs is left alone, and so are VFs that are being bound or
/// unbound.
pub(crate) fn wait_for_resets(ctrl: &Controller<Nvme>) {
    const STEP: Delta = Delta::from_millis(10);
    const STEPS: u32 = 500;

    let data = ctrl.data();
    if data.vfs.try_lock().is_none_or(|vfs| vfs.enabled.is_none()) {
        return;
    }
    for _ in 0..STEPS {
        let mut resetting = false;
        Adapter::<NvmeDriver>::for_each_unlocked_vf(&data.pdev, |vf| {
            resetting |= vf.is_resetting();
        });
        if !resetting {
            return;
        }
        fsleep(STEP);
    }
}

/// Gives the VFs back what they lost by a reset of the PF: resources, and being online.
///
/// VFs that are being enabled at this moment are left to fail: their enabling waits for commands
/// that this very reset has interrupted.
pub(crate) fn provision_again(ctrl: &Controller<Nvme>) {
    let Some(vfs) = ctrl.data().vfs.try_lock() else {
        return;
    };
    let Some(Vfs {
        functions,
        secondaries: Some(secondaries),
    }) = &vfs.enabled
    else {
        return;
    };
    let result = secondaries
        .assign_all()
        .and_then(|()| (0..functions.count()).try_for_each(|vf| secondaries.bring_online(vf)));
    if result.is_ok() {
        dev_info!(
            ctrl.device(),
            "provisioned {} VFs again\n",
            functions.count()
        );
    }
    // Who holds a VF's device lock may wait for this one.
    drop(vfs);
    // What the VFs had in flight is lost. Drivers other than ours find out by a timeout.
    Adapter::<NvmeDriver>::for_each_vf(&ctrl.data().pdev, |vf| vf.wake());
}

/// How many interrupts can be given to VFs, as `sriov_vf_total_msix` shows it.
pub(crate) fn total_interrupts(ctrl: &Controller<Nvme>) -> u32 {
    let inventory = Inventory::read(ctrl).ok().flatten();
    inventory
        .and_then(|inventory| inventory.pool(Resource::Interrupt, |_| true))
        .map_or(0, |pool| pool.free)
}

/// Makes `interrupts` the number of interrupts of VF `vf`, as `sriov_vf_msix_count` wants it; 0
/// for an equal share. The VF is enabled and has no driver. It gets as many queues, unless their
/// number is set, and keeps both when VFs are disabled and enabled again.
///
/// `EOPNOTSUPP` if the controller has no interrupts to hand out, `EINVAL` if no VF can have as
/// many, `ENOSPC` if as many are not free.
pub(crate) fn set_interrupts(ctrl: &Controller<Nvme>, vf: u16, interrupts: u32) -> Result {
    let interrupts = u16::try_from(interrupts)?;
    set_wanted(ctrl, vf, |wanted| {
        wanted.with(Resource::Interrupt, interrupts)
    })
}

/// Changes how many resources VF `vf` is to have. If it is enabled, it has no driver and gets
/// them at once.
fn set_wanted(ctrl: &Controller<Nvme>, vf: u16, change: impl FnOnce(Wanted) -> Wanted) -> Result {
    let mut vfs = ctrl.data().vfs.lock();
    let wanted = change(vfs.settings.wanted(vf));
    check_limits(ctrl, vf, wanted)?;
    let Virtualization { settings, enabled } = &mut *vfs;
    let setting = settings.get_mut(vf)?;
    if let Some(secondaries) = enabled_secondaries(enabled, vf) {
        secondaries.set_share(vf, wanted)?;
    }
    setting.wanted = wanted;
    Ok(())
}

/// Makes `nsids` the namespaces of VF `vf`. If it is enabled, it gets them at once, whether it has
/// a driver or not.
fn set_namespaces(ctrl: &Controller<Nvme>, vf: u16, nsids: KVec<u32>) -> Result {
    let mut vfs = ctrl.data().vfs.lock();
    namespaces::check(ctrl, vf, &nsids)?;
    let Virtualization { settings, enabled } = &mut *vfs;
    let setting = settings.get_mut(vf)?;
    if let Some(secondaries) = enabled_secondaries(enabled, vf) {
        secondaries.set_namespaces(vf, &nsids)?;
    }
    setting.namespaces = nsids;
    Ok(())
}

/// The secondary controllers, if that of VF `vf` is among them.
fn enabled_secondaries(enabled: &mut Option<Vfs>, vf: u16) -> Option<&mut Secondaries> {
    enabled
        .as_mut()
        .filter(|vfs| vf < vfs.functions.count())
        .and_then(|vfs| vfs.secondaries.as_mut())
}

/// Checks that the controller can give VF `vf` what is wanted, if nobody else wants anything:
/// `EOPNOTSUPP` if it does not hand out the kind, `EINVAL` if it is too much for any VF, or too
/// little.
fn check_limits(ctrl: &Controller<Nvme>, vf: u16, wanted: Wanted) -> Result {
    let inventory = Inventory::read(ctrl)?.ok_or(EOPNOTSUPP)?;
    for kind in KINDS {
        let (count, name) = (wanted.of(kind), name(kind));
        if count == 0 {
            continue;
        }
        let Some(pool) = inventory.pool(kind, |_| true) else {
            dev_err!(
                ctrl.device(),
                "VF {vf}: the controller hands out no {name} resources\n"
            );
            return Err(EOPNOTSUPP);
        };
        if !(pool.minimum..=pool.limit()).contains(&count) {
            dev_err!(
                ctrl.device(),
                "VF {vf}: {count} {name} resources: a VF can have {} to {}\n",
                pool.minimum,
                pool.limit()
            );
            return Err(EINVAL);
        }
    }
    Ok(())
}
