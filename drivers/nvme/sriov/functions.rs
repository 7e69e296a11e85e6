// SPDX-License-Identifier: GPL-2.0

//! Has the PCI core enable and disable VFs, and gives the owner a job when each joins the bus or leaves
//! it.
//!
//! The PCI rescan lock is held throughout, and the PF's device lock when VFs join, or all leave. VFs'
//! drivers are probed and unbound in these calls, so no lock of the driver's own may be held.

use super::{
    desk::{
        Job,
        Patience, //
    },
    family::Family, //
};
use crate::controller::Nvme;
use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};
use kernel_ext::{
    nvme::Controller,
    pci::{
        sriov::{
            EnableVfs,
            PhysicalFunction,
            RescanLocked,
            VirtualFunction, //
        },
        BusEvent,
        BusListener,
        Listen,
        NoRoom, //
    },
};

/// The listener for VFs that join the bus, and leave it.
pub(super) struct Listener {
    family: Arc<Family>,
    /// The errno of the first VF that could not be brought online; 0 if all could.
    failure: Arc<Atomic<i32>>,
}

impl Listen for Listener {
    fn happened(&self, event: BusEvent, dev: &pci::Device) {
        let Some(vf) = dev.index_in(&self.family.pf) else {
            return;
        };
        let result = match event {
            BusEvent::Added => self.added(dev, vf),
            // The device lock of the VF is not held, but that of the PF is when all VFs are disabled. A
            // failure is reported; then the VF's namespaces are detached when it is enabled next.
            BusEvent::Removed => {
                let _ = self.family.post(Job::Retire(vf), Patience::Leave);
                return;
            }
        };
        if let Err(e) = result {
            let _ = self.failure.cmpxchg(0, e.to_errno(), Full);
        }
    }
}

impl Listener {
    /// Brings VF `vf` online, which has joined the bus, before any driver sees it. Links it to the PF, so
    /// that it sleeps before the PF and resumes after it. The PF's device lock is held.
    fn added(&self, dev: &pci::Device, vf: u16) -> Result {
        self.family.post(Job::Online(vf), Patience::Locked)?;
        dev.sleep_before(&self.family.pf).inspect_err(|e| {
            dev_err!(
                self.family.pf.as_ref(),
                "VF {vf}: cannot link its system sleep to the PF's: {e:?}\n"
            );
        })
    }
}

/// Returns a listener, and the errno of the first VF that it could not bring online. `ENOMEM`.
fn listen(family: &Arc<Family>) -> Result<(BusListener<Listener>, Arc<Atomic<i32>>)> {
    let failure = Arc::new(Atomic::new(0), GFP_KERNEL)?;
    let listener = BusListener::new(Listener {
        family: family.clone(),
        failure: failure.clone(),
    })?;
    Ok((listener, failure))
}

/// Has the PCI core enable `num` VFs, whose resources have been assigned. On failure, none is enabled.
pub(super) fn enable(
    family: &Arc<Family>,
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Core<'_>>,
    num: u16,
    lock: &RescanLocked,
) -> Result {
    let (listener, failure) = listen(family).inspect_err(|_| {
        dev_err!(ctrl.device(), "cannot enable {num} VFs: out of memory\n");
    })?;
    *family.listener.lock() = Some(listener);
    let mut result = pdev.enable_vfs(num, lock).inspect_err(|e| {
        explain(ctrl, pdev, num, e);
    });
    if let (Ok(()), errno @ ..=-1) = (&result, failure.load(Relaxed)) {
        result = Err(Error::from_errno(errno));
        pdev.disable_vfs(lock);
    }
    if result.is_err() {
        drop_listener(family, lock);
    }
    result
}

/// Has the PCI core disable all VFs, whichever driver has enabled them.
pub(super) fn disable(family: &Family, pdev: &pci::Device, lock: &RescanLocked) {
    // The PCI core unbinds one driver after the other; the controllers are torn down at the same time.
    family.end_members();
    pdev.disable_vfs(lock);
    drop_listener(family, lock);
}

/// Drops the listener. That waits for its calls, which take locks, so `Family::listener` is not held.
fn drop_listener(family: &Family, _lock: &RescanLocked) {
    let listener = family.listener.lock().take();
    drop(listener);
}

/// Reports why the PCI core cannot enable `num` VFs, and what to do about it.
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
