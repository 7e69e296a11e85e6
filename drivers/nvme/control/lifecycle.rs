// SPDX-License-Identifier: GPL-2.0

//! How a controller is started, stopped and recovered (base specification, sections 3.5 and 3.6).
//!
//! Everything that turns the controller on or off holds the [`BoundLock`] of its function, except
//! while commands are waited for: their timeouts need the lock to stop the controller.
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
    time::msecs_to_jiffies, //
};
use kernel_ext::{
    nvme::{
        Controller,
        State, //
    },
    pci::{
        DeviceExt,
        FunctionReset, //
    },
};

/// Starts a new controller, up to the point where nvme-core looks for namespaces. That of a VF whose
/// PF is down, or goes down meanwhile, is started later, when the PF is back.
///
/// `ENODEV` if it is not ready in time, or leaves a command without answer.
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
        result => result.map_err(|e| cause(ctrl, e)),
    }
}

/// Whether what failed is to be tried again when the PF, or the channel to the function, is back.
fn is_to_wait(ctrl: &Controller<Nvme>) -> bool {
    let is_lost = ctrl.data().role.is_cut_off() || ctrl.data().pdev.is_channel_offline();
    is_lost && !ctrl.state().is_terminal() && !ctrl.data().pdev.is_disconnected()
}

/// Leaves a controller that could not be started, or reset, to whoever brings back what it lacks.
fn wait(ctrl: &Controller<Nvme>) {
    stop(ctrl, false);
    ctrl.quiesce_admin();
    let data = ctrl.data();
    if data.pdev.is_channel_offline() {
        data.set_idle(Idle::ForCallback);
    } else {
        data.set_idle(Idle::ForPrimary);
        // The PF may be back already, and have found nobody waiting.
        if !ctrl.data().role.has_to_wait() && data.take_idle(Idle::ForPrimary) {
            ctrl.queue_reset();
        }
    }
    ctrl.wake_waiters();
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
    ctrl.data().role.admit(ctrl)?;
    enable(ctrl, &mut ctrl.data().bound.lock()?)?;
    ctrl.alloc_admin_tag_set()?;
    ctrl.init_finish(false)?;
    features::after_identify(ctrl)?;
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
    go_on(ctrl);
    Ok(())
}

/// Undoes [`start`], however far it came; the device may be gone. When it has been called already,
/// waits until that is over, if need be, and does nothing.
pub(crate) fn end(ctrl: &Controller<Nvme>) {
    let data = ctrl.data();
    let _ending = data.ending.lock();
    if data.set_ended() {
        return;
    }
    if data.is_present() {
        // What is still to be written is, before the namespaces go.
        ctrl.data().role.wait_for_primary(ctrl);
    }
    features::before_rest(ctrl);
    ctrl.change_state(State::Deleting);
    if data.take_any_idle() || !data.is_present() {
        // Nobody starts it any more.
        ctrl.change_state(State::Dead);
        stop(ctrl, true);
    }
    ctrl.flush_reset();
    // Somebody may have wanted one more, and may still.
    data.set_over();
    ctrl.flush_reset();
    ctrl.stop();
    ctrl.remove_namespaces();
    stop(ctrl, true);
    ctrl.remove_admin_tag_set();
    let queues = core::mem::take(&mut *data.queues.lock());
    for queue in &queues {
        // The block layer may have it for longer.
        queue.give_back();
    }
    drop(queues);
    ctrl.uninit();
    ctrl.data().role.leave(ctrl);
}

/// Resets the controller, from state `Resetting` or `Connecting` to `Live`, or to `Dead` where that
/// fails. That of a VF whose PF is down, or goes down meanwhile, is left for when the PF is back.
pub(crate) fn reset(ctrl: &Controller<Nvme>) {
    if ctrl.data().is_over() {
        return;
    }
    match try_reset(ctrl) {
        Err(_) if is_to_wait(ctrl) => wait(ctrl),
        Err(e) => {
            let e = cause(ctrl, e);
            dev_err!(
                ctrl.device(),
                "reset failed ({e:?}); the controller is given up\n"
            );
            give_up(ctrl);
        }
        Ok(()) => {}
    }
}

/// Gives the controller up: it is dead from now on, and what waits for it fails. Its disks stay, with
/// a size of 0, until its function is unbound.
pub(crate) fn give_up(ctrl: &Controller<Nvme>) {
    // Terminal at once: somebody may wait for the reset with the device lock held.
    ctrl.change_state(State::Deleting);
    stop(ctrl, true);
    ctrl.sync_queues();
    ctrl.mark_namespaces_dead();
    ctrl.unquiesce_io();
    ctrl.change_state(State::Dead);
    // What multipath holds back until a path is live again fails with the last path.
    ctrl.kick_requeue_lists();
    ctrl.data().role.is_gone();
}

fn try_reset(ctrl: &Controller<Nvme>) -> Result {
    match ctrl.state() {
        State::Resetting | State::Connecting => {}
        // Whoever wanted it has had it.
        State::Live => return Ok(()),
        _ => return Err(ENODEV),
    }
    let was_suspended = ctrl.config() & registers::cc::SHN_NORMAL != 0;
    if ctrl.config() & registers::cc::EN != 0 {
        stop(ctrl, false);
    }
    ctrl.sync_queues();
    ctrl.data().role.admit(ctrl)?;

    {
        let mut hw = ctrl.data().bound.lock()?;
        enable(ctrl, &mut hw)?;
    }
    match ctrl.alloc_admin_tag_set() {
        // It is there, unless the probe had to wait for the PF.
        Err(e) if e == EEXIST => {}
        result => result?,
    }
    {
        let _hw = Nvme::lock_running(ctrl)?;
        ctrl.unquiesce_admin();
    }
    if ctrl.state() != State::Connecting && !ctrl.change_state(State::Connecting) {
        return Err(EBUSY);
    }
    // From here on, who takes the PF down ends our commands.
    if ctrl.data().role.is_cut_off() {
        return Err(EAGAIN);
    }
    ctrl.init_finish(was_suspended)?;
    features::after_identify(ctrl)?;

    let queues = io_queues::create(ctrl)?;
    if queues.total() > 0 {
        {
            // Whoever stops the controller now holds them back again, and that must be so.
            let _hw = Nvme::lock_running(ctrl)?;
            ctrl.unquiesce_io();
        }
        while !ctrl.wait_freeze_for(msecs_to_jiffies(10)) {
            if is_to_wait(ctrl) {
                return Err(EAGAIN);
            }
        }
        io_queues::update(ctrl, queues)?;
    } else {
        dev_warn!(
            ctrl.device(),
            "the I/O queues are lost; the namespaces are removed\n"
        );
        ctrl.mark_namespaces_dead();
        ctrl.unquiesce_io();
        ctrl.remove_namespaces();
    }
    {
        // A controller that is stopped does not let I/O in.
        let mut hw = Nvme::lock_running(ctrl)?;
        if core::mem::take(&mut hw.frozen) {
            ctrl.unfreeze();
        }
        if !ctrl.change_state(State::Live) {
            return Err(ENODEV);
        }
    }
    go_on(ctrl);
    Ok(())
}

/// Starts what nvme-core does with a live controller.
fn go_on(ctrl: &Controller<Nvme>) {
    if ctrl.data().role.is_cut_off() {
        // The PF has gone down, and found the controller not yet live.
        if ctrl.change_state(State::Resetting) {
            ctrl.queue_reset();
        }
        return;
    }
    ctrl.start();
    ctrl.data().role.is_up();
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
    let written = bar::write32(&data.bar, registers::NSSR, registers::NSSR_RESET);
    if ctrl.change_state(State::Connecting) && ctrl.change_state(State::Live) {
        // Flushes the write; if the device is gone the port above reports an error.
        CSTS::read(&data.bar);
    }
    written
}

/// Waits until nobody resets or starts the controller, and takes that task over. `false` if it is in
/// a state that does not allow it.
fn take(ctrl: &Controller<Nvme>) -> bool {
    ctrl.wait_until(|ctrl| {
        ctrl.data().take_any_idle()
            || ctrl.change_state(State::Resetting)
            || ctrl.state().is_terminal()
    });
    !ctrl.state().is_terminal()
}

/// Stops the controller before the function is reset or powered down from outside, to be started by
/// [`restart`].
pub(crate) fn stop_for_reset(ctrl: &Controller<Nvme>, shutdown: bool) {
    if shutdown {
        features::before_rest(ctrl);
    }
    if take(ctrl) {
        stop(ctrl, shutdown);
        ctrl.data().set_idle(Idle::ForCallback);
        ctrl.wake_waiters();
    }
}

/// Stops the controller as the channel to it is frozen. Returns whether it can be started again, by
/// [`restart`], when the function has been reset.
pub(crate) fn freeze(ctrl: &Controller<Nvme>) -> bool {
    if !ctrl.data().take_any_idle() && !ctrl.change_state(State::Resetting) {
        // It leaves the controller to us.
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

/// Starts the controller again; if it is not stopped, it is first. `EBUSY` if its state does not
/// allow it.
pub(crate) fn restart(ctrl: &Controller<Nvme>) -> Result {
    if !ctrl.data().take_idle(Idle::ForCallback) && !ctrl.change_state(State::Resetting) {
        return Err(EBUSY);
    }
    ctrl.data().role.hold(false);
    ctrl.queue_reset();
    Ok(())
}

/// Resets the function (FLR), and with it the controller. `EBUSY` if the controller is in a state
/// that allows no reset, `EIO` if it is not live afterwards.
///
/// The device lock is held. Other than a reset through sysfs, this works while the function is
/// being probed.
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
