// SPDX-License-Identifier: GPL-2.0

//! Admin commands that the transport sends (base specification, section 5).

use kernel_ext::nvme::Command;

/// Delete I/O Submission Queue (section 5.2.4).
const DELETE_SQ: u8 = 0x00;
/// Create I/O Submission Queue (section 5.2.2).
const CREATE_SQ: u8 = 0x01;
/// Delete I/O Completion Queue (section 5.2.3).
const DELETE_CQ: u8 = 0x04;
/// Create I/O Completion Queue (section 5.2.1).
const CREATE_CQ: u8 = 0x05;
/// Identify (section 5.1.13).
const IDENTIFY: u8 = 0x06;
/// Abort (section 5.1.1).
const ABORT: u8 = 0x08;
/// Asynchronous Event Request (section 5.1.2).
const ASYNC_EVENT: u8 = 0x0c;

/// Physically Contiguous, of both Create commands.
const PC: u32 = 1;
/// Interrupts Enabled, of Create I/O Completion Queue.
const IEN: u32 = 1 << 1;

/// The size of what Identify returns, in bytes.
pub(crate) const IDENTIFY_SIZE: usize = 4096;

/// Queue id and size, 0's based, as dword 10 of both Create commands has them.
fn queue(qid: u16, entries: u16) -> u32 {
    u32::from(entries.wrapping_sub(1)) << 16 | u32::from(qid)
}

/// Creates completion queue `qid` of `entries` entries at `address`, with interrupt `vector`.
pub(crate) fn create_cq(qid: u16, entries: u16, address: u64, vector: u16) -> Command {
    Command::new(CREATE_CQ)
        .with_prp1(address)
        .with_dword(10, queue(qid, entries))
        .with_dword(11, u32::from(vector) << 16 | IEN | PC)
}

/// Creates submission queue `qid` of `entries` entries at `address`, which completes to the
/// completion queue of the same id.
pub(crate) fn create_sq(qid: u16, entries: u16, address: u64) -> Command {
    Command::new(CREATE_SQ)
        .with_prp1(address)
        .with_dword(10, queue(qid, entries))
        .with_dword(11, u32::from(qid) << 16 | PC)
}

/// Deletes submission queue `qid`.
pub(crate) fn delete_sq(qid: u16) -> Command {
    Command::new(DELETE_SQ).with_dword(10, u32::from(qid))
}

/// Deletes completion queue `qid`, whose submission queue is gone.
pub(crate) fn delete_cq(qid: u16) -> Command {
    Command::new(DELETE_CQ).with_dword(10, u32::from(qid))
}

/// Aborts command `cid` of submission queue `qid`, if the controller can.
pub(crate) fn abort(qid: u16, cid: u16) -> Command {
    Command::new(ABORT).with_dword(10, u32::from(cid) << 16 | u32::from(qid))
}

/// Waits for an event.
pub(crate) fn async_event(cid: u16) -> Command {
    Command::new(ASYNC_EVENT).with_command_id(cid)
}

/// Returns data structure `cns`, of or from controller `cntid` where that matters.
pub(crate) fn identify(cns: u8, cntid: u16) -> Command {
    Command::new(IDENTIFY).with_dword(10, u32::from(cntid) << 16 | u32::from(cns))
}
