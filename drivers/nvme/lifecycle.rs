// SPDX-License-Identifier: GPL-2.0

//! How a controller is started, stopped and recovered (base specification, sections 3.5 and 3.6).
//!
//! Everything that turns the controller on or off holds the [`BoundLock`] of its function, except
//! while commands are waited for: their timeouts need the lock to stop the controller.
//!
//! [`BoundLock`]: kernel_ext::pci::BoundLock

use crate::{
    controller::{
        Hardware,
        Nvme, //
    },
    hmb,
    io_queues,
    lists::ListPools,
    queue::Queue,
    quirks,
    regs,
    sriov, //
};
use kernel::{
    device::Core,
    io::Io,
    pci,
    prelude::*, //
};
use kernel_ext::{
    nvme::{
        Controller,
        State, //
    },
    pci::{
        irq::Vectors,
        BoundGuard,
        DeviceEnabled,
        DeviceExt,
        FunctionReset, //
    },
};

/// Enables the function and the controller on it, with just the admin queue and one interrupt.
///
/// What fails is undone when `hw`'s fields are dropped, or by [`stop`].
fn enable(ctrl: &Controller<Nvme>, hw: &mut BoundGuard<'_, Hardware>) -> Result {
    let data = ctrl.data();
    let (pdev, hw) = hw.split();

    let enabled = hw.enabled.insert(DeviceEnabled::new(pdev)?);
    if regs::CSTS::read(&data.bar).into_raw() == regs::GONE {
        dev_err!(
            ctrl.device(),
            "the registers read as all ones: is the device gone?\n"
        );
        return Err(ENODEV);
    }
    let kinds = quirks::interrupts(ctrl.quirks());
    let vectors = hw.vectors.insert(Vectors::alloc(pdev, kinds, 1, 1)?);

    let cap = regs::CAP::read(&data.bar)?;
    if cap.into_raw() == 0 {
        let why = match pdev.is_virtfn() {
            true => "the VF is offline: have its PF bring it online (nvme virt-mgmt -a 9)",
            false => "CAP reads as zero: is the device cut off?",
        };
        dev_err!(ctrl.device(), "{why}\n");
        return Err(ENODEV);
    }
    let io_depth = io_queues::depth(ctrl, cap)?;
    if io_depth < 2 {
        dev_err!(
            ctrl.device(),
            "CAP.MQES is 0: queues of one entry cannot be used\n"
        );
        return Err(EINVAL);
    }
    if u32::from(io_depth) > cap.queue_entries() {
        dev_warn!(
            ctrl.device(),
            "I/O queues have {io_depth} entries, more than CAP.MQES allows\n"
        );
    }
    if regs::queue_pairs(&data.bar, cap) == 0 {
        dev_err!(
            ctrl.device(),
            "CAP.DSTRD is {}: the admin queue's doorbells are beyond the end of BAR 0\n",
            u8::from(cap.dstrd())
        );
        return Err(EINVAL);
    }
    ctrl.set_capabilities(cap.into_raw(), io_depth);
    enabled.save_state();

    if regs::tells_subsystem_resets(&data.bar, cap) {
        regs::CSTS::read(&data.bar).clear_nssro(&data.bar)?;
    }

    // The controller may run still, from a boot loader or a kernel before this one.
    if ctrl.disable(false).is_err() {
        dev_warn!(
            ctrl.device(),
            "the controller does not stop; resetting the function\n"
        );
        enabled.reset_function().inspect_err(|e| {
            dev_err!(ctrl.device(), "the function cannot be reset: {e:?}\n");
        })?;
        ctrl.disable(false)?;
    }

    // Before there are queues in it.
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
    let queue = match data.queue_pair(0) {
        Some(queue) => queue,
        None => {
            let depth = Controller::<Nvme>::admin_queue_depth();
            let stride = cap.doorbell_stride();
            let queue = Queue::new(pdev, ctrl, &data.bar, lists, 0, depth, stride)?;
            data.queues.lock().push(queue.clone(), GFP_KERNEL)?;
            queue
        }
    };
    queue.clear()?;

    let size = u32::from(queue.entries().wrapping_sub(1));
    data.bar.write_reg(
        regs::AQA::zeroed()
            .try_with_acqs(size)?
            .try_with_asqs(size)?,
    );
    data.bar.write64_lo_hi(queue.sq_address(), regs::ASQ)?;
    data.bar.write64_lo_hi(queue.cq_address(), regs::ACQ)?;
    ctrl.enable()?;

    queue.enable(ctrl, vectors, 0)?;
    ctrl.set_queue_count(1);
    Ok(())
}

/// Whether the controller cannot be talked to any more.
fn is_dead(ctrl: &Controller<Nvme>, hw: &Hardware) -> bool {
    let data = ctrl.data();
    if hw.enabled.is_none() || !data.is_present() || data.pdev.is_channel_offline() {
        return true;
    }
    let csts = regs::CSTS::read(&data.bar);
    csts.cfs() || !csts.rdy()
}

/// Stops the controller and completes everything that is in flight. With `shutdown` it is told to
/// save its state, and requests that come later fail; else they wait for the next start.
pub(crate) fn stop(ctrl: &Controller<Nvme>, shutdown: bool) {
    let data = ctrl.data();
    let Ok(mut hw) = data.bound.lock() else {
        return;
    };
    let state = ctrl.state();
    let dead = is_dead(ctrl, &hw);

    if matches!(state, State::Live | State::Resetting) {
        if hw.enabled.is_some() {
            ctrl.start_freeze();
        }
        if !dead && shutdown {
            // Give the controller a chance to complete what has been entered.
            ctrl.wait_freeze_timeout();
        }
    }
    ctrl.quiesce_io();

    if let (false, Some(admin)) = (dead, data.queue_pair(0)) {
        io_queues::delete(ctrl);
        // The interrupt handler may have woken the waiter for the last command, and still be on its
        // way to the doorbell. Until that is written, the controller counts a completion as
        // pending, and may do so beyond its reset, which would leave INTx asserted.
        admin.poll();
        if ctrl.disable(shutdown).is_err() {
            dev_warn!(ctrl.device(), "the controller does not stop\n");
        }
        admin.poll();
    }
    for queue in data.queue_pairs().rev() {
        if queue.qid() == 0 && queue.is_enabled() {
            ctrl.quiesce_admin();
        }
        queue.disable();
    }
    hw.vectors = None;
    hw.enabled = None;

    // What was completed, but not seen, before the rest is called off.
    for queue in data.queue_pairs() {
        queue.poll();
    }
    ctrl.cancel_all();

    if shutdown {
        // The queues will not run again: let what waits in them fail.
        ctrl.unquiesce_io();
        ctrl.unquiesce_admin();
    }
}

/// Starts a new controller, up to the point where nvme-core looks for namespaces.
///
/// `ENODEV` if it is not ready in time, or leaves a command without answer.
pub(crate) fn start(ctrl: &Controller<Nvme>) -> Result {
    try_start(ctrl).map_err(|e| cause(ctrl, e))
}

/// Why the controller cannot be started, if that is what failed with `e`: a command that is called
/// off, as the controller is given up, fails in its own way.
fn cause(ctrl: &Controller<Nvme>, e: Error) -> Error {
    if ctrl.state().is_terminal() {
        ENODEV
    } else {
        e
    }
}

fn try_start(ctrl: &Controller<Nvme>) -> Result {
    enable(ctrl, &mut ctrl.data().bound.lock()?)?;
    ctrl.alloc_admin_tag_set()?;
    ctrl.init_finish(false)?;
    hmb::start(ctrl);
    ctrl.update_attributes();
    let queues = io_queues::create(ctrl)?;
    if queues.total() > 0 {
        io_queues::update(ctrl, queues)?;
    } else {
        dev_warn!(
            ctrl.device(),
            "no I/O queues: only administration is possible\n"
        );
    }
    if !ctrl.change_state(State::Live) {
        return Err(ENODEV);
    }
    ctrl.start();
    Ok(())
}

/// Undoes [`start`], however far it came; the device may be gone.
pub(crate) fn end(ctrl: &Controller<Nvme>) {
    hmb::stop(ctrl);
    ctrl.change_state(State::Deleting);
    if !ctrl.data().is_present() {
        ctrl.change_state(State::Dead);
        stop(ctrl, true);
    }
    ctrl.flush_reset();
    ctrl.stop();
    ctrl.remove_namespaces();
    stop(ctrl, true);
    ctrl.remove_admin_tag_set();
    let queues = core::mem::take(&mut *ctrl.data().queues.lock());
    for queue in &queues {
        // The block layer may have it for longer.
        queue.give_back();
    }
    drop(queues);
    ctrl.uninit();
}

/// Resets the controller, from state `Resetting` to `Live`, or to `Dead` where that fails.
pub(crate) fn reset(ctrl: &Controller<Nvme>) {
    if let Err(e) = try_reset(ctrl) {
        let e = cause(ctrl, e);
        dev_err!(
            ctrl.device(),
            "reset failed ({e:?}); the controller is given up\n"
        );
        // Terminal at once: somebody may wait for the reset with the device lock held.
        ctrl.change_state(State::Deleting);
        stop(ctrl, true);
        ctrl.sync_queues();
        ctrl.mark_namespaces_dead();
        ctrl.unquiesce_io();
        ctrl.change_state(State::Dead);
        // What multipath holds back until a path is live again fails with the last path.
        ctrl.remove_namespaces();
    }
}

fn try_reset(ctrl: &Controller<Nvme>) -> Result {
    if ctrl.state() != State::Resetting {
        return Err(ENODEV);
    }
    let was_suspended = ctrl.config() & regs::cc::SHN_NORMAL != 0;
    if ctrl.config() & regs::cc::EN != 0 {
        // Of a controller that has failed the VFs have nothing to expect.
        if regs::CSTS::read(&ctrl.data().bar).rdy() {
            sriov::wait_for_resets(ctrl);
        }
        stop(ctrl, false);
    }
    ctrl.sync_queues();

    {
        let mut hw = ctrl.data().bound.lock()?;
        enable(ctrl, &mut hw)?;
        ctrl.unquiesce_admin();
    }
    if !ctrl.change_state(State::Connecting) {
        return Err(EBUSY);
    }
    ctrl.init_finish(was_suspended)?;
    hmb::start(ctrl);
    // New firmware may want another host memory buffer, or none.
    ctrl.update_attributes();

    let queues = io_queues::create(ctrl)?;
    if queues.total() > 0 {
        ctrl.unquiesce_io();
        ctrl.wait_freeze();
        io_queues::update(ctrl, queues)?;
        ctrl.unfreeze();
    } else {
        dev_warn!(
            ctrl.device(),
            "the I/O queues are lost; the namespaces are removed\n"
        );
        ctrl.mark_namespaces_dead();
        ctrl.unquiesce_io();
        ctrl.remove_namespaces();
        ctrl.unfreeze();
    }
    if !ctrl.change_state(State::Live) {
        return Err(ENODEV);
    }
    ctrl.start();
    sriov::provision_again(ctrl);
    Ok(())
}

/// Resets the NVM subsystem (section 3.7.1), and with it all its controllers. What that does to
/// this one is found out by error recovery, or by the first command that times out.
///
/// `ENODEV` if the controller is stopped, `EBUSY` if it is being reset.
pub(crate) fn reset_subsystem(ctrl: &Controller<Nvme>) -> Result {
    let data = ctrl.data();
    let hw = data.bound.lock()?;
    if hw.enabled.is_none() {
        return Err(ENODEV);
    }
    if !ctrl.change_state(State::Resetting) {
        return Err(EBUSY);
    }
    dev_info!(ctrl.device(), "resetting the NVM subsystem\n");
    let written = regs::write32(&data.bar, regs::NSSR, regs::NSSR_RESET);
    if ctrl.change_state(State::Connecting) && ctrl.change_state(State::Live) {
        // Flushes the write; if the device is gone the port above reports an error.
        regs::CSTS::read(&data.bar);
    }
    written
}

/// Stops the controller before the function is reset or powered down from outside.
pub(crate) fn stop_for_reset(ctrl: &Controller<Nvme>, shutdown: bool) {
    if shutdown {
        hmb::stop(ctrl);
    }
    if ctrl.wait_reset() {
        stop(ctrl, shutdown);
    }
}

/// Resets the function (FLR), and with it the controller. `EBUSY` if the controller is in a state
/// that allows no reset, `EIO` if it is not live afterwards.
///
/// The device lock is held. Other than a reset through sysfs, this works while the function is
/// being probed.
pub(crate) fn reset_function(ctrl: &Controller<Nvme>, pdev: &pci::Device<Core<'_>>) -> Result {
    if !ctrl.wait_reset() {
        return Err(EBUSY);
    }
    stop(ctrl, false);
    ctrl.sync_queues();
    let reset = pdev.reset_function().inspect_err(|e| {
        dev_err!(ctrl.device(), "the function cannot be reset: {e:?}\n");
    });
    ctrl.schedule_reset_now()?;
    ctrl.flush_reset();
    reset?;
    match ctrl.state() {
        State::Live => Ok(()),
        _ => Err(EIO),
    }
}
