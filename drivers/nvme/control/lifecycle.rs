// SPDX-License-Identifier: GPL-2.0

//! Starts, resets and tears down controllers (base specification, sections 3.5 and 3.6).
//!
//! All of this sleeps. It runs in the probe and in other callbacks of the PCI core, which hold the
//! device lock, and in the reset work, which holds no lock. Whoever enables or disables the controller
//! holds the [`BoundLock`] of its function, but not while a command is waited for: its timeout needs the
//! lock to stop the controller.
//!
//! [`BoundLock`]: kernel_ext::pci::BoundLock

use super::{
    enable::enable,
    features,
    io_queues,
    stop::{
        interrupt,
        stop, //
    }, //
};
use crate::{
    bar,
    controller::{
        Idle,
        Nvme, //
    },
    spec::registers::{
        self,
        CSTS, //
    },
};
use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::aref::ARef,
    time::msecs_to_jiffies, //
};
use kernel_ext::{
    nvme::{
        Controller,
        IoQueues,
        State, //
    },
    pci::{
        DeviceExt,
        FunctionReset, //
    },
};

/// Starts a new controller, until nvme-core looks for namespaces. If the function is a VF whose PF is
/// down, or goes down meanwhile, returns `Ok`: the controller is started when the PF is back.
///
/// `ENODEV` if the controller is not ready in time, or does not answer a command.
pub(crate) fn start(ctrl: &Controller<Nvme>) -> Result {
    match try_start(ctrl) {
        Err(_) if is_to_wait(ctrl) => {
            dev_info!(
                ctrl.device(),
                "is started later: its physical function is being reset, or the link to it\n"
            );
            wait(ctrl);
            Ok(())
        }
        result => result.map_err(|e| start_error(ctrl, e)),
    }
}

/// Returns whether a start or reset that failed is to be repeated when the PF, or the channel to the
/// function, is back.
fn is_to_wait(ctrl: &Controller<Nvme>) -> bool {
    let is_lost = ctrl.data().role.is_cut_off() || ctrl.data().pdev.is_channel_offline();
    is_lost && !ctrl.state().is_terminal() && !ctrl.data().pdev.is_disconnected()
}

/// Stops a controller that could not be started or reset, and notes who starts it later: the PF, or
/// error recovery.
fn wait(ctrl: &Controller<Nvme>) {
    stop(ctrl, false);
    ctrl.quiesce_admin();
    let data = ctrl.data();
    if data.pdev.is_channel_offline() {
        data.set_idle(Idle::ForCallback);
    } else {
        data.set_idle(Idle::ForPrimary);
        // The PF may have come back before the note was there.
        if !ctrl.data().role.has_to_wait() && data.take_idle(Idle::ForPrimary) {
            ctrl.queue_reset();
        }
    }
    ctrl.wake_waiters();
}

/// Returns the error of a start or reset that failed with `e`. If the controller has been given up
/// meanwhile, `e` is only the error of a cancelled command, and the error is `ENODEV`.
fn start_error(ctrl: &Controller<Nvme>, e: Error) -> Error {
    if ctrl.state().is_terminal() {
        ENODEV
    } else {
        e
    }
}

fn try_start(ctrl: &Controller<Nvme>) -> Result {
    ctrl.data().role.admit(ctrl)?;
    enable(ctrl, &mut ctrl.data().bound.lock()?)?;
    ctrl.alloc_admin_tag_set()?;
    ctrl.init_finish(false)?;
    features::after_identify(ctrl)?;
    let queues = io_queues::create(ctrl)?;
    if queues.total() > 0 {
        update_tags(ctrl, queues)?;
    } else {
        dev_warn!(
            ctrl.device(),
            "no I/O queues: only administration is possible\n"
        );
    }
    if !ctrl.change_state(State::Live) {
        return Err(ENODEV);
    }
    go_on(ctrl);
    Ok(())
}

/// Has the block layer use `queues`. If there is no memory for their tags at first, the controller goes
/// on with its admin queue alone, until a reset finds some.
fn update_tags(ctrl: &Controller<Nvme>, queues: IoQueues) -> Result {
    match io_queues::update(ctrl, queues) {
        Err(e) if e == ENOMEM && ctrl.io_queue_kinds().is_none() => {
            dev_warn!(
                ctrl.device(),
                "no memory for the tags of the I/O queues: only administration is possible\n"
            );
            Ok(())
        }
        updated => updated,
    }
}

/// Tears the controller down: undoes [`start`], even one that failed. The device may be gone. A second
/// call waits until the first is over, and does nothing.
pub(crate) fn teardown(ctrl: &Controller<Nvme>) {
    let data = ctrl.data();
    let Some(_ending) = data.begin_teardown() else {
        return;
    };
    if data.is_present() {
        // Dirty pages must be written before the namespaces are removed.
        ctrl.data().role.wait_for_primary(ctrl);
    }
    features::before_rest(ctrl);
    ctrl.change_state(State::Deleting);
    if data.take_any_idle() || !data.is_present() {
        // Nobody starts the controller any more.
        ctrl.change_state(State::Dead);
        stop(ctrl, true);
    }
    ctrl.flush_reset();
    // Another reset may have been queued, and more may be.
    data.set_over();
    ctrl.flush_reset();
    ctrl.stop();
    ctrl.remove_namespaces();
    stop(ctrl, true);
    ctrl.remove_admin_tag_set();
    let queues = core::mem::take(&mut *data.queues.lock());
    for queue in &queues {
        // The block layer may hold a reference for longer.
        queue.give_back();
    }
    drop(queues);
    ctrl.uninit();
    ctrl.data().role.leave(ctrl);
}

/// Resets the controller, from state `Resetting` or `Connecting` to `Live`, or to `Dead` if that fails.
/// If the function is a VF whose PF is down, or goes down meanwhile, the controller is reset when the PF
/// is back. Runs as nvme-core's reset work.
pub(crate) fn reset(ctrl: &Controller<Nvme>) {
    if ctrl.data().is_over() {
        return;
    }
    match try_reset(ctrl) {
        Err(_) if is_to_wait(ctrl) => wait(ctrl),
        // The first start was cut off in the middle, and nvme-core cannot go on with it.
        Err(ESTALE) => {
            dev_info!(
                ctrl.device(),
                "its first start was cut off: the function is probed anew\n"
            );
            give_up(ctrl);
            probe_anew(ctrl);
        }
        Err(e) => {
            let e = start_error(ctrl, e);
            dev_err!(
                ctrl.device(),
                "reset failed ({e:?}); the controller is given up\n"
            );
            give_up(ctrl);
        }
        Ok(()) => {}
    }
}

/// Gives the controller up: its state is `Dead` from now on, and requests fail. Its disks stay, with a
/// size of 0, until its function is unbound.
pub(crate) fn give_up(ctrl: &Controller<Nvme>) {
    // The state is terminal at once: a thread may wait for the reset with the device lock held.
    ctrl.change_state(State::Deleting);
    stop(ctrl, true);
    ctrl.sync_queues();
    ctrl.mark_namespaces_dead();
    ctrl.unquiesce_io();
    ctrl.change_state(State::Dead);
    // Requests that multipath holds back for a live path fail if this was the last path.
    ctrl.kick_requeue_lists();
    ctrl.data().role.is_gone();
}

/// Has the function of a controller that was given up probed anew, in another thread, as that takes the
/// device lock. Then it has a new controller.
pub(crate) fn probe_anew(ctrl: &Controller<Nvme>) {
    let dead: ARef<Controller<Nvme>> = ctrl.into();
    // Without memory, the controller stays dead until an administrator binds the function anew.
    let _ = ctrl.data().spawner.spawn(move || {
        if dead.data().is_ended() {
            return;
        }
        if let Err(e) = dead.data().pdev.reprobe() {
            dev_err!(dead.device(), "the function cannot be probed anew: {e:?}\n");
        }
    });
}

fn try_reset(ctrl: &Controller<Nvme>) -> Result {
    match ctrl.state() {
        State::Resetting | State::Connecting => {}
        // The reset that was asked for is over.
        State::Live => return Ok(()),
        _ => return Err(ENODEV),
    }
    let was_suspended = ctrl.config() & registers::cc::SHN_NORMAL != 0;
    if ctrl.config() & registers::cc::EN != 0 {
        stop(ctrl, false);
    }
    ctrl.sync_queues();
    ctrl.data().role.admit(ctrl)?;

    restart_admin_queue(ctrl)?;
    // From here on, a stop of the PF cancels the commands that are waited for.
    if ctrl.data().role.is_cut_off() {
        return Err(EAGAIN);
    }
    ctrl.init_finish(was_suspended)?;
    features::after_identify(ctrl)?;
    restart_io_queues(ctrl)?;
    set_live(ctrl)?;
    go_on(ctrl);
    Ok(())
}

/// Enables the controller with its admin queue, lets admin commands through, and changes the state to
/// `Connecting`. `EBUSY` if the state does not allow that.
fn restart_admin_queue(ctrl: &Controller<Nvme>) -> Result {
    enable(ctrl, &mut ctrl.data().bound.lock()?)?;
    match ctrl.alloc_admin_tag_set() {
        // The tags exist, unless the probe had to wait for the PF.
        Err(e) if e == EEXIST => {}
        result => result?,
    }
    let _hw = Nvme::lock_running(ctrl)?;
    // Before any command: one that times out while the state is `Resetting` is of before this reset.
    if ctrl.state() != State::Connecting && !ctrl.change_state(State::Connecting) {
        return Err(EBUSY);
    }
    ctrl.unquiesce_admin();
    Ok(())
}

/// Creates the I/O queues and lets the requests through that wait for them. If there are no I/O queues
/// any more, removes the namespaces. `EAGAIN` if the PF, or the channel to the function, is lost.
fn restart_io_queues(ctrl: &Controller<Nvme>) -> Result {
    let queues = io_queues::create(ctrl)?;
    if queues.total() == 0 {
        dev_warn!(
            ctrl.device(),
            "the I/O queues are lost; the namespaces are removed\n"
        );
        ctrl.mark_namespaces_dead();
        ctrl.unquiesce_io();
        ctrl.remove_namespaces();
        // Without I/O queues, disks that are found again would only fail.
        return ctrl.withhold_io_tags();
    }
    {
        // Under the lock: a stop quiesces the queues again, and must not come in between.
        let _hw = Nvme::lock_running(ctrl)?;
        ctrl.unquiesce_io();
    }
    while !ctrl.wait_freeze_for(msecs_to_jiffies(10)) {
        if is_to_wait(ctrl) {
            return Err(EAGAIN);
        }
    }
    update_tags(ctrl, queues)
}

/// Unfreezes the I/O queues, and changes the state to `Live`. `ENODEV`, or `EBUSY`, if the controller
/// has been stopped meanwhile.
fn set_live(ctrl: &Controller<Nvme>) -> Result {
    // Under the lock: the I/O queues of a controller that is stopped must stay frozen.
    let mut hw = Nvme::lock_running(ctrl)?;
    if core::mem::take(&mut hw.frozen) {
        ctrl.unfreeze();
    }
    if !ctrl.change_state(State::Live) {
        return Err(ENODEV);
    }
    Ok(())
}

/// Has nvme-core start its work with a live controller.
fn go_on(ctrl: &Controller<Nvme>) {
    if ctrl.data().role.is_cut_off() {
        // The PF has gone down before the controller was live, so it has not reset the controller.
        if ctrl.change_state(State::Resetting) {
            ctrl.queue_reset();
        }
        return;
    }
    ctrl.start();
    ctrl.data().role.is_up();
}

/// Resets the NVM subsystem (section 3.7.1), and with it all its controllers. Error recovery, or the
/// first command that times out, recovers this one.
///
/// `EBUSY` if the controller is not live, `ENODEV` if it is stopped.
pub(crate) fn reset_subsystem(ctrl: &Controller<Nvme>) -> Result {
    let data = ctrl.data();
    // This must precede the lock: a start or reset that is running only tries the lock, and fails if it
    // is held.
    if !ctrl.change_state(State::Resetting) {
        return Err(EBUSY);
    }
    let hw = data.bound.lock();
    let written = match &hw {
        Ok(hw) if hw.enabled.is_some() => {
            dev_info!(ctrl.device(), "resetting the NVM subsystem\n");
            bar::write32(&data.bar, registers::NSSR, registers::NSSR_RESET)
        }
        _ => Err(ENODEV),
    };
    if ctrl.change_state(State::Connecting) && ctrl.change_state(State::Live) {
        // The read flushes the write. If the device is gone, the port above it reports an error.
        CSTS::read(&data.bar);
    }
    written
}

/// Waits until nobody resets or starts the controller, and reserves that for the caller. Returns `false`
/// if the state is terminal.
fn take(ctrl: &Controller<Nvme>) -> bool {
    ctrl.wait_until(|ctrl| {
        ctrl.data().take_any_idle()
            || ctrl.change_state(State::Resetting)
            || ctrl.state().is_terminal()
    });
    !ctrl.state().is_terminal()
}

/// Stops the controller before others reset the function or power it down. [`restart`] starts it
/// again. The device lock is held.
///
/// A VF's teardown runs without the device lock while its PF disables VFs. The reset waits for it: it
/// would lose the teardown's commands.
pub(crate) fn stop_for_reset(ctrl: &Controller<Nvme>, shutdown: bool) {
    let Some(_ending) = ctrl.data().hold_off_teardown() else {
        return;
    };
    if shutdown {
        features::before_rest(ctrl);
    }
    if take(ctrl) {
        stop(ctrl, shutdown);
        ctrl.data().set_idle(Idle::ForCallback);
        ctrl.wake_waiters();
    }
}

/// Stops the controller because the channel to it is frozen. Returns whether [`restart`] can start it
/// when the function has been reset. The device lock is held.
pub(crate) fn freeze(ctrl: &Controller<Nvme>) -> bool {
    if !ctrl.data().take_any_idle() && !ctrl.change_state(State::Resetting) {
        // The start or reset that is running fails, and leaves the controller to this function.
        interrupt(ctrl);
        if !take(ctrl) {
            stop(ctrl, true);
            return false;
        }
    }
    stop(ctrl, false);
    ctrl.data().set_idle(Idle::ForCallback);
    ctrl.data().role.hold(true);
    true
}

/// Queues a reset, which starts the controller again; one that is not stopped is stopped first. `EBUSY`
/// if the state does not allow it.
pub(crate) fn restart(ctrl: &Controller<Nvme>) -> Result {
    if !ctrl.data().take_idle(Idle::ForCallback) && !ctrl.change_state(State::Resetting) {
        return Err(EBUSY);
    }
    ctrl.data().role.hold(false);
    ctrl.queue_reset();
    Ok(())
}

/// Resets the function (FLR), and with it the controller. `EBUSY` if the state of the controller allows
/// no reset, `EIO` if the controller is not live afterwards.
///
/// The device lock is held. Unlike a reset by sysfs, this works while the function is being probed.
pub(crate) fn reset_function(ctrl: &Controller<Nvme>, pdev: &pci::Device<Core<'_>>) -> Result {
    if !take(ctrl) {
        return Err(EBUSY);
    }
    stop(ctrl, false);
    ctrl.sync_queues();
    let reset = pdev.reset_function().inspect_err(|e| {
        dev_err!(ctrl.device(), "the function cannot be reset: {e:?}\n");
    });
    ctrl.queue_reset();
    ctrl.flush_reset();
    reset?;
    match ctrl.state() {
        State::Live => Ok(()),
        _ => Err(EIO),
    }
}
