// SPDX-License-Identifier: GPL-2.0

//! The functions of a PF's VFs: enabled and disabled by the PCI core, and what happens when each
//! joins the bus or leaves it.

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

/// Hears of VFs that join the bus, and leave it.
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
            // The rescan lock is held, but no device's. If it fails, there is a line, and what the
            // VF has is taken back when it is enabled next.
            BusEvent::Removed => {
                let _ = self.family.post(Job::Retire(vf), Patience::Any);
                return;
            }
        };
        if let Err(e) = result {
            let _ = self.failure.cmpxchg(0, e.to_errno(), Full);
        }
    }
}

impl Listener {
    /// VF `vf` has joined the bus, with the PF's device lock held: brings it online before any
    /// driver sees it, and puts it in its place in the order of system sleep.
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

/// Has the PCI core enable `num` VFs, which have been prepared. On failure none is left.
pub(super) fn enable(
    family: &Arc<Family>,
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Core<'_>>,
    num: u16,
    lock: &RescanLocked,
) -> Result {
    let failure = Arc::new(Atomic::new(0), GFP_KERNEL)?;
    let listener = BusListener::new(Listener {
        family: family.clone(),
        failure: failure.clone(),
    })?;
    *family.listener.lock() = Some(listener);
    let mut result = pdev.enable_vfs(num, lock).inspect_err(|e| {
        explain(ctrl, pdev, num, e);
    });
    if let (Ok(()), errno @ 1..) = (&result, -failure.load(Relaxed)) {
        result = Err(Error::from_errno(-errno));
        pdev.disable_vfs(lock);
    }
    if result.is_err() {
        drop_listener(family);
    }
    result
}

/// Has the PCI core disable all VFs, by whomever they were enabled.
pub(super) fn disable(family: &Family, pdev: &pci::Device, lock: &RescanLocked) {
    // While one driver after the other is taken away, the controllers end side by side.
    family.end_members();
    pdev.disable_vfs(lock);
    drop_listener(family);
}

/// Ends the listener, which waits for its calls, so that no lock may be held that these want.
fn drop_listener(family: &Family) {
    let listener = family.listener.lock().take();
    drop(listener);
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
