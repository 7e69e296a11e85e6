// SPDX-License-Identifier: GPL-2.0

//! Gives the Host Memory Buffer to the controller, and takes it back (base specification, section
//! 8.2.3).
//!
//! A controller works without the buffer, so failures are only reported. All of this sends admin
//! commands with `Hmb::changing` held: the admin queue must be enabled, and the caller must not hold the
//! `BoundLock`.

use super::io_queues::execute;
use crate::{
    controller::Nvme,
    memory::hmb::{
        Change,
        Memory,
        Plan, //
    },
    parameters,
    spec::hmb::{
        self,
        PAGE, //
    },
};
use kernel::prelude::*;
use kernel_ext::{
    nvme::{
        AdminCommand,
        AdminError,
        Controller,
        NoData,
        State, //
    },
    pci::DeviceExt, //
};

/// Gives the controller the buffer that it wants: the one that it had before, unless it wants another
/// since it was reset.
pub(crate) fn start(ctrl: &Controller<Nvme>) {
    // The log has the reason. If the controller does not answer any more, the next command fails, too.
    let _ = enable(ctrl, &mut ctrl.data().hmb.change());
}

/// Makes the controller stop accessing the buffer, before it is shut down; [`start`] gives the
/// buffer back. Does nothing unless the controller is live; waits no longer than one admin timeout.
pub(crate) fn stop(ctrl: &Controller<Nvme>) {
    let data = ctrl.data();
    let mut change = data.hmb.change();
    let answers = data.is_present() && !data.pdev.is_channel_offline();
    if !change.is_on() || ctrl.state() != State::Live || !answers {
        return;
    }
    // This may fail: a controller that is shut down or disabled does not access the buffer either.
    if execute(ctrl, hmb::disable(), ctrl.admin_timeout()).is_none() {
        dev_warn!(
            ctrl.device(),
            "the host memory buffer was not given back in time\n"
        );
    }
    change.set_on(false);
}

/// Gives the controller its buffer (`want`), or takes it back. `EBUSY` unless the controller is live;
/// else the errors of [`enable`].
pub(crate) fn switch(ctrl: &Controller<Nvme>, want: bool) -> Result {
    let mut change = ctrl.data().hmb.change();
    if ctrl.state() != State::Live {
        return Err(EBUSY);
    }
    if want == change.is_on() {
        return Ok(());
    }
    if want {
        enable(ctrl, &mut change)
    } else {
        disable(ctrl, &mut change)
    }
}

/// Gives the controller its buffer.
///
/// `ENOSPC` if it needs more than it may have, `ENOMEM` without memory, `EIO` if it refuses.
fn enable(ctrl: &Controller<Nvme>, change: &mut Change<'_>) -> Result {
    change.set_on(false);
    let limit = u64::from(parameters::max_host_mem_size_mb.value()) << 20;
    let wants = ctrl.host_memory();
    let plan = Plan::new(wants, limit).inspect_err(|_| {
        let mib = u64::from(wants.hmmin) * PAGE >> 20;
        dev_warn!(
            ctrl.device(),
            "no host memory buffer: at least {mib} MiB are needed, raise max_host_mem_size_mb\n"
        );
    });
    let plan = match plan {
        Ok(Some(plan)) => plan,
        nothing => {
            // It may have had one before a reset.
            release(ctrl);
            return nothing.map(drop);
        }
    };
    let command = allocate(ctrl, plan).inspect_err(|e| {
        dev_warn!(ctrl.device(), "no host memory buffer: {e:?}\n");
    })?;
    send(ctrl, command, "taken").inspect_err(|_| release(ctrl))?;
    change.set_on(true);
    Ok(())
}

/// Allocates the buffer, unless it exists as planned. Returns the command that gives it to the
/// controller.
fn allocate(ctrl: &Controller<Nvme>, plan: Plan) -> Result<AdminCommand<NoData>> {
    let mut hw = Nvme::lock_running(ctrl)?;
    let (pdev, hw) = hw.split();
    if let Some(memory) = hw.hmb.as_ref().filter(|memory| memory.is_by(plan)) {
        return memory.enable(true);
    }
    // What the controller wants is read when it has been reset, so it does not use the buffer any more.
    // First, as there may not be memory for both.
    hw.hmb = None;
    let memory = hw.hmb.insert(Memory::new(pdev.as_ref(), plan)?);
    dev_info!(
        ctrl.device(),
        "host memory buffer of {} KiB in {} pieces\n",
        memory.bytes() >> 10,
        memory.pieces()
    );
    memory.enable(false)
}

/// Frees the buffer, which the controller must not have.
fn release(ctrl: &Controller<Nvme>) {
    // If the controller is being stopped, the buffer stays until the device is unbound.
    if let Ok(mut hw) = Nvme::lock_running(ctrl) {
        hw.hmb = None;
    }
}

/// Takes the buffer back from the controller, and frees it.
fn disable(ctrl: &Controller<Nvme>, change: &mut Change<'_>) -> Result {
    send(ctrl, hmb::disable(), "given back")?;
    change.set_on(false);
    release(ctrl);
    Ok(())
}

/// Sends `command`. `EIO` if the controller refuses; the message says that the buffer "was not `what`".
fn send(ctrl: &Controller<Nvme>, command: AdminCommand<NoData>, what: &str) -> Result {
    match ctrl.admin_command(command, ()) {
        Err(AdminError::Refused(status)) => {
            dev_warn!(
                ctrl.device(),
                "the host memory buffer was not {what}, status {:#x}\n",
                status.code()
            );
            Err(EIO)
        }
        answer => Ok(answer.map(drop)?),
    }
}
