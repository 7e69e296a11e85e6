// SPDX-License-Identifier: GPL-2.0

//! Enables a controller (base specification, section 3.5.1): from a function that is disabled to an
//! admin queue that works.
//!
//! The `BoundLock` is held throughout. No command is sent under it, as the timeout of a command needs
//! the lock.

use super::depth;
use crate::{
    bar,
    controller::{
        Hardware,
        Nvme, //
    },
    data::lists::ListPools,
    queue::{
        Layout,
        Queue, //
    },
    quirks,
    spec::registers::{
        ACQ,
        AQA,
        ASQ,
        CAP,
        CSTS,
        GONE, //
    },
};
use kernel::{
    device::Bound,
    io::Io,
    pci,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    nvme::{
        Controller,
        ADMIN_QUEUE_DEPTH, //
    },
    pci::{
        irq::Vectors,
        BoundGuard,
        DeviceEnabled,
        DeviceExt, //
    },
};

/// Enables the function and its controller, with the admin queue and one interrupt.
///
/// If it fails, `stop`, or dropping the fields of `hw`, undoes what was done. `ENODEV` if the device does
/// not answer, `EINVAL` if its capabilities are invalid, `EAGAIN` if the function is a VF whose PF goes
/// down.
pub(super) fn enable(ctrl: &Controller<Nvme>, hw: &mut BoundGuard<'_, Hardware>) -> Result {
    let data = ctrl.data();
    let (pdev, hw) = hw.split();

    // A start that failed may have left these. There is one of each at a time.
    hw.vectors = None;
    hw.enabled = None;
    let enabled = hw.enabled.insert(DeviceEnabled::new(pdev)?);
    check_presence(ctrl)?;
    let kinds = quirks::interrupts(ctrl.quirks());
    let vectors = hw.vectors.insert(Vectors::alloc(pdev, kinds, 1, 1)?);

    let cap = capabilities(ctrl)?;
    let io_depth = check_limits(ctrl, cap)?;
    ctrl.set_capabilities(cap.into_raw(), io_depth);
    enabled.save_state();
    disable_what_runs(ctrl, enabled, cap)?;

    // There are no queues in the buffer yet.
    if let Some(cmb) = &data.cmb {
        cmb.enable(&data.bar).inspect_err(|_| {
            dev_err!(
                ctrl.device(),
                "the controller memory buffer cannot be enabled again\n"
            );
        })?;
    }

    if hw.lists.is_none() {
        hw.lists = Some(ListPools::new(pdev.as_ref(), ctrl.quirks())?);
    }
    let lists = hw.lists.as_ref().ok_or(ENOMEM)?;
    let queue = admin_queue(ctrl, pdev, lists, cap)?;
    program(ctrl, &queue)?;
    ctrl.enable()?;

    queue.enable(ctrl, vectors, 0)?;
    ctrl.set_queue_count(1);
    Ok(())
}

/// Checks that the device answers at all.
fn check_presence(ctrl: &Controller<Nvme>) -> Result {
    if CSTS::read(&ctrl.data().bar).into_raw() == GONE {
        dev_err!(
            ctrl.device(),
            "the registers read as all ones: is the device gone?\n"
        );
        return Err(ENODEV);
    }
    Ok(())
}

/// Reads Controller Capabilities; `ENODEV` if they are zero, as those of a VF that is offline.
fn capabilities(ctrl: &Controller<Nvme>) -> Result<CAP> {
    let cap = CAP::read(&ctrl.data().bar)?;
    if cap.into_raw() == 0 {
        let why = if ctrl.data().pdev.is_virtfn() {
            "the VF is offline: have its PF bring it online (nvme virt-mgmt -a 9)"
        } else {
            "CAP reads as zero: is the device cut off?"
        };
        dev_err!(ctrl.device(), "{why}\n");
        return Err(ENODEV);
    }
    Ok(cap)
}

/// Checks that these capabilities allow the admin queue, and the I/O queues that there are. Returns the
/// number of entries of the I/O queues.
fn check_limits(ctrl: &Controller<Nvme>, cap: CAP) -> Result<u16> {
    let io_depth = depth::largest(ctrl, cap)?;
    if u32::from(io_depth) > cap.queue_entries() {
        dev_warn!(
            ctrl.device(),
            "I/O queues have {io_depth} entries, more than CAP.MQES allows\n"
        );
    }
    if bar::queue_pairs(&ctrl.data().bar, cap) == 0 {
        dev_err!(
            ctrl.device(),
            "CAP.DSTRD is {}: the admin queue's doorbells are beyond the end of BAR 0\n",
            u8::from(cap.dstrd())
        );
        return Err(EINVAL);
    }
    Ok(io_depth)
}

/// Disables the controller, which a boot loader or an earlier kernel may have left enabled, and clears
/// the note that its subsystem was reset. If the controller cannot be disabled, resets the function.
fn disable_what_runs(ctrl: &Controller<Nvme>, enabled: &mut DeviceEnabled, cap: CAP) -> Result {
    let bar = &ctrl.data().bar;
    if bar::has_nssro(bar, cap) {
        CSTS::read(bar).clear_nssro(bar)?;
    }
    if ctrl.disable(false).is_ok() {
        return Ok(());
    }
    if ctrl.data().role.is_cut_off() {
        return Err(EAGAIN);
    }
    dev_warn!(
        ctrl.device(),
        "the controller does not stop; resetting the function\n"
    );
    enabled.reset_function().inspect_err(|e| {
        dev_err!(ctrl.device(), "the function cannot be reset: {e:?}\n");
    })?;
    ctrl.disable(false)
}

/// Returns the admin queue, empty; allocates it at the first start.
fn admin_queue(
    ctrl: &Controller<Nvme>,
    pdev: &pci::Device<Bound>,
    lists: &Arc<ListPools>,
    cap: CAP,
) -> Result<Arc<Queue<Nvme>>> {
    let data = ctrl.data();
    let queue = match data.queue_pair(0) {
        Some(queue) => queue,
        None => {
            let layout = Layout {
                qid: 0,
                entries: ADMIN_QUEUE_DEPTH,
                stride: cap.doorbell_stride(),
            };
            // No pool: the admin queue is not in the controller's memory, whose addresses may not be
            // valid before the controller is enabled.
            let queue = Queue::new(pdev, ctrl, &data.bar, lists, None, layout)?;
            data.queues.lock().push(queue.clone(), GFP_KERNEL)?;
            queue
        }
    };
    queue.clear()?;
    Ok(queue)
}

/// Writes the size and the addresses of the admin queue to the registers (section 3.1.4.8 and the next
/// two).
fn program(ctrl: &Controller<Nvme>, queue: &Queue<Nvme>) -> Result {
    let bar = &ctrl.data().bar;
    // 0's based.
    let size = u32::from(queue.entries().saturating_sub(1));
    let aqa = AQA::zeroed().try_with_acqs(size)?.try_with_asqs(size)?;
    bar.access(|io| io.write_reg(aqa)).ok_or(ENODEV)?;
    bar.write64_lo_hi(queue.sq_address(), ASQ)?;
    bar.write64_lo_hi(queue.cq_address(), ACQ)
}
