// SPDX-License-Identifier: GPL-2.0

//! Handles commands that are not answered in time: takes a completion whose interrupt was missed, aborts
//! the command, or resets the controller.
//!
//! The block layer calls this in its timeout work, one request of a queue after the other. It takes the
//! `BoundLock` to stop the controller, so nobody may wait for a command with that lock held. It waits
//! for no command itself, but for those that delete queues.

use super::stop::stop;
use crate::{
    bar::{
        self,
        Bar0, //
    },
    controller::Nvme,
    queue::Queue,
    spec::{
        admin,
        registers::{
            CSTS,
            GONE, //
        }, //
    },
};
use kernel::{
    io::Io,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};
use kernel_ext::{
    block::mq::TimerAction,
    nvme::{
        AdminDone,
        CommandId,
        CommandStatus,
        Controller,
        InFlight,
        State, //
    },
    pci::DeviceExt, //
};

/// Kernel parameters without which device, link and port save power.
const POWER_SAVING_OFF: &str =
    "nvme_core.default_ps_max_latency_us=0 pcie_aspm=off pcie_port_pm=off";

/// Where Status is in the configuration space of a function (PCI Express Base Specification, section
/// 7.5.1.1.4).
const PCI_STATUS: usize = 0x06;

/// Handles a request whose time is over. Returns `Done` if the request has been completed, `Restart` if
/// it gets the same time once more.
pub(crate) fn timeout(
    ctrl: &Controller<Nvme>,
    queue: &Queue<Nvme>,
    rq: &InFlight<'_, Nvme>,
) -> TimerAction {
    if let Some(action) = is_lost_anyway(ctrl) {
        return action;
    }
    if is_overlooked(ctrl, queue, rq) {
        return TimerAction::Done;
    }
    if ctrl.data().role.has_to_wait() {
        // The PF is down, and the thread that stopped it cancels this command.
        return TimerAction::Restart;
    }
    match ctrl.state() {
        state @ (State::Connecting | State::Deleting) => {
            if state == State::Connecting {
                ctrl.change_state(State::Deleting);
            }
            dev_warn!(
                ctrl.device(),
                "queue {} command {:#06x}: no answer while starting or stopping; giving up\n",
                queue.qid(),
                rq.command_id(),
            );
            rq.set_cancelled();
            stop(ctrl, true);
            TimerAction::Done
        }
        State::Resetting => {
            // The reset that is due stops the controller, but the one before it may not be over: when
            // the controller was live, it let nvme-core start, or waited until the VFs are provisioned,
            // perhaps for this command.
            rq.set_cancelled();
            stop(ctrl, false);
            TimerAction::Done
        }
        _ => help(ctrl, queue, rq),
    }
}

/// Returns what to do with a command whose controller has failed or is gone, after recovering the
/// controller where that is possible. `None` if the controller reports no failure.
fn is_lost_anyway(ctrl: &Controller<Nvme>) -> Option<TimerAction> {
    let data = ctrl.data();
    if data.pdev.is_disconnected() {
        // Error recovery may wait for this thread, and nobody else notices.
        ctrl.change_state(State::Deleting);
    }
    if ctrl.state().is_terminal() {
        return Some(recover(ctrl));
    }
    if data.pdev.is_channel_offline() {
        // Error recovery will reset the function.
        return Some(TimerAction::Restart);
    }
    (!data.role.has_to_wait() && failed(ctrl, &data.bar)).then(|| recover(ctrl))
}

/// Takes the new completions of the queue. Returns whether the command is among them: then only its
/// interrupt was missed.
fn is_overlooked(ctrl: &Controller<Nvme>, queue: &Queue<Nvme>, rq: &InFlight<'_, Nvme>) -> bool {
    queue.poll();
    if rq.is_in_flight() {
        return false;
    }
    let missed = if queue.is_polled() {
        "nobody polled"
    } else {
        "no interrupt came"
    };
    dev_warn!(
        ctrl.device(),
        "queue {} command {:#06x}: complete, but {missed}\n",
        queue.qid(),
        rq.command_id()
    );
    true
}

/// Aborts the command of a live controller. If it was aborted before, or is an admin command, resets the
/// controller.
fn help(ctrl: &Controller<Nvme>, queue: &Queue<Nvme>, rq: &InFlight<'_, Nvme>) -> TimerAction {
    let (qid, id, opcode) = (queue.qid(), rq.command_id(), rq.opcode());
    if qid == 0 || rq.is_aborted() {
        dev_warn!(
            ctrl.device(),
            "queue {qid} command {id:#06x} (opcode {opcode:#04x}): no answer; resetting the controller\n"
        );
        rq.set_cancelled();
        return recover(ctrl);
    }
    if !ctrl.take_abort() {
        // The controller has as many Aborts in flight as it supports: this one has to wait.
        return TimerAction::Restart;
    }
    rq.set_aborted();
    dev_warn!(
        ctrl.device(),
        "queue {qid} command {id:#06x} (opcode {opcode:#04x}): no answer; aborting it\n"
    );
    if abort(ctrl, qid, id).is_err() {
        // Nothing was sent. The next timeout resets the controller, which needs no tag.
        ctrl.give_abort();
        dev_warn!(ctrl.device(), "no Abort command could be sent\n");
    }
    TimerAction::Restart
}

/// Returns whether the controller reports that it has failed, or that the NVM subsystem was reset, and
/// nobody is resetting the controller yet.
fn failed(ctrl: &Controller<Nvme>, bar: &Bar0) -> bool {
    if ctrl.state().is_resetting() {
        return false;
    }
    let csts = CSTS::read(bar);
    let subsystem_was_reset = csts.nssro() && bar::has_nssro(bar, ctrl.capabilities().into());
    if csts.cfs() {
        dev_warn!(
            ctrl.device(),
            "the controller has failed (CSTS={:#x}, PCI_STATUS={:#x}); resetting it\n",
            csts.into_raw(),
            pci_status(ctrl)
        );
    } else if subsystem_was_reset {
        dev_warn!(
            ctrl.device(),
            "the NVM subsystem has been reset (CSTS={:#x}, PCI_STATUS={:#x}); resetting the controller\n",
            csts.into_raw(),
            pci_status(ctrl)
        );
    }
    if csts.into_raw() == GONE {
        dev_warn!(
            ctrl.device(),
            "if it does not wake up from saving power, boot with {POWER_SAVING_OFF}\n"
        );
    }
    csts.cfs() || subsystem_was_reset
}

/// Returns the function's PCI Status, which tells what became of it if the controller's registers do not.
/// It is all ones if the function does not answer either.
fn pci_status(ctrl: &Controller<Nvme>) -> u16 {
    // The caller is going to stop the controller, which takes the lock, too.
    match ctrl.data().bound.lock() {
        Ok(mut hw) => hw.split().0.config_space().read16(PCI_STATUS),
        Err(_) => u16::MAX,
    }
}

/// Stops the controller, and resets it unless it is being removed.
fn recover(ctrl: &Controller<Nvme>) -> TimerAction {
    if ctrl.change_state(State::Resetting) {
        stop(ctrl, false);
        ctrl.queue_reset();
    } else if ctrl.state().is_terminal() {
        stop(ctrl, true);
    }
    TimerAction::Done
}

/// Gives the right to send one Abort back when the Abort has completed.
struct AbortDone(ARef<Controller<Nvme>>);

impl AdminDone for AbortDone {
    fn done(&self, status: Result<(), CommandStatus>) {
        if let Err(status) = status {
            dev_warn!(
                self.0.device(),
                "Abort failed, status {:#x}\n",
                status.code()
            );
        }
        self.0.give_abort();
    }
}

/// Sends an Abort for command `cid` of queue `qid`. The caller must have taken the right to send one.
fn abort(ctrl: &Controller<Nvme>, qid: u16, cid: CommandId) -> Result {
    let done = Arc::new(AbortDone(ctrl.into()), GFP_ATOMIC)?;
    ctrl.admin_command_nowait(admin::abort(qid, cid), done)
}
