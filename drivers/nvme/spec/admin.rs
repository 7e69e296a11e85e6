// SPDX-License-Identifier: GPL-2.0

//! Admin commands that the transport sends (base specification, section 5).

use kernel::prelude::*;
use kernel_ext::nvme::{
    AdminCommand,
    Command,
    CommandId,
    NoData,
    Reads, //
};

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
/// Set Features (section 5.1.25).
const SET_FEATURES: u8 = 0x09;
/// Asynchronous Event Request (section 5.1.2).
const ASYNC_EVENT: u8 = 0x0c;

/// Doorbell Buffer Config (section 5.2.5).
const DOORBELL_BUFFERS: u8 = 0x7c;

/// Power Management, a feature (section 5.1.25.1.2).
const POWER_MANAGEMENT: u8 = 0x02;

/// Physically Contiguous, of both Create commands.
const PC: u32 = 1;
/// Interrupts Enabled, of Create I/O Completion Queue.
const IEN: u32 = 1 << 1;

/// The priority of a submission queue (QPRIO of Create I/O Submission Queue). A controller that
/// arbitrates round robin ignores it.
#[derive(Clone, Copy)]
pub(crate) enum Priority {
    Urgent = 0,
    Medium = 2,
}

/// The size of the data structures that Identify returns, in bytes.
pub(crate) const IDENTIFY_SIZE: usize = 4096;

/// A data structure that Identify returns, or another one of that size.
pub(crate) type IdentifyData = KBox<[u8; IDENTIFY_SIZE]>;

/// Returns dword 10 of both Create commands: the queue's size, 0's based, and its id. A queue has two
/// entries at least.
fn queue(qid: u16, entries: u16) -> u32 {
    u32::from(entries.saturating_sub(1)) << 16 | u32::from(qid)
}

/// Creates completion queue `qid` of `entries` entries at `address`, with interrupt `vector`, or
/// without interrupts.
pub(crate) fn create_cq(
    qid: u16,
    entries: u16,
    address: u64,
    vector: Option<u16>,
) -> AdminCommand<NoData> {
    let interrupt = vector.map_or(0, |vector| u32::from(vector) << 16 | IEN);
    AdminCommand::new::<CREATE_CQ>(queue(qid, entries))
        .with_addresses(address, 0)
        .with_dword::<11>(interrupt | PC)
}

/// Creates submission queue `qid` of `entries` entries at `address`. Its commands complete in the
/// completion queue of the same id.
pub(crate) fn create_sq(
    qid: u16,
    entries: u16,
    address: u64,
    priority: Priority,
) -> AdminCommand<NoData> {
    AdminCommand::new::<CREATE_SQ>(queue(qid, entries))
        .with_addresses(address, 0)
        .with_dword::<11>(u32::from(qid) << 16 | (priority as u32) << 1 | PC)
}

/// Deletes submission queue `qid`.
pub(crate) fn delete_sq(qid: u16) -> AdminCommand<NoData> {
    AdminCommand::new::<DELETE_SQ>(u32::from(qid))
}

/// Deletes completion queue `qid`. Its submission queue must have been deleted.
pub(crate) fn delete_cq(qid: u16) -> AdminCommand<NoData> {
    AdminCommand::new::<DELETE_CQ>(u32::from(qid))
}

/// Aborts command `cid` of submission queue `qid`, if the controller can.
pub(crate) fn abort(qid: u16, cid: CommandId) -> AdminCommand<NoData> {
    AdminCommand::new::<ABORT>(u32::from(cid.into_raw()) << 16 | u32::from(qid))
}

/// Has the controller read its doorbells from the page at `doorbells`, and write its event indices to
/// the page at `events`.
pub(crate) fn doorbell_buffers(doorbells: u64, events: u64) -> AdminCommand<NoData> {
    AdminCommand::new::<DOORBELL_BUFFERS>(0).with_addresses(doorbells, events)
}

/// Sets feature `fid`. The caller adds the feature's own dwords.
pub(super) fn set_features(fid: u8) -> AdminCommand<NoData> {
    AdminCommand::new::<SET_FEATURES>(fid.into())
}

/// Gets the power state and the workload hint, in dword 0 of the completion.
pub(crate) fn power_state() -> AdminCommand<NoData> {
    AdminCommand::feature::<POWER_MANAGEMENT>()
}

/// Has the controller enter a power state; `state` has the format of what [`power_state`] gets.
pub(crate) fn set_power_state(state: u32) -> AdminCommand<NoData> {
    set_features(POWER_MANAGEMENT).with_dword::<11>(state)
}

/// Requests an asynchronous event: the command completes when the controller has one to report.
pub(crate) fn async_event(cid: CommandId) -> Command {
    Command::new(ASYNC_EVENT).with_command_id(cid)
}

/// Reads data structure `cns`. Some are about controller `cntid`, or begin with it; others ignore it.
pub(crate) fn identify(cns: u8, cntid: u16) -> AdminCommand<Reads<IDENTIFY_SIZE>> {
    AdminCommand::new::<IDENTIFY>(u32::from(cntid) << 16 | u32::from(cns))
}

#[kunit_tests(nvme_rs_admin)]
mod tests {
    use super::*;
    use kernel_ext::nvme::Transfer;

    /// Opcode, PRP entry 1, and dwords 10 and 11.
    fn parts<D: Transfer>(command: AdminCommand<D>) -> (u8, u64, u32, u32) {
        let command = command.as_command();
        let prp1 = u64::from(command.dword(7)) << 32 | u64::from(command.dword(6));
        (command.opcode(), prp1, command.dword(10), command.dword(11))
    }

    #[test]
    fn queues_are_created() {
        let address = 0x1_2345_6000;
        // The size is 0's based, and above the queue's id.
        let cq = create_cq(0x0102, 0x0400, address, Some(0x0304));
        assert_eq!(parts(cq), (5, address, 0x03ff_0102, 0x0304_0003));
        let polled = create_cq(0x0102, 0x0400, address, None);
        assert_eq!(parts(polled), (5, address, 0x03ff_0102, 0x0000_0001));
        let sq = create_sq(0x0102, 0x0400, address, Priority::Urgent);
        assert_eq!(parts(sq), (1, address, 0x03ff_0102, 0x0102_0001));
        let largest = create_sq(1, u16::MAX, 0, Priority::Medium);
        assert_eq!(parts(largest), (1, 0, 0xfffe_0001, 0x0001_0005));
    }

    #[test]
    fn queues_are_deleted() {
        assert_eq!(parts(delete_sq(0x0102)), (0, 0, 0x0102, 0));
        assert_eq!(parts(delete_cq(0x0102)), (4, 0, 0x0102, 0));
    }

    #[test]
    fn other_commands() {
        assert_eq!(
            parts(abort(0x0102, CommandId::new(0x304, 0))),
            (8, 0, 0x0304_0102, 0)
        );
        assert_eq!(parts(identify(0x15, 0x0203)), (6, 0, 0x0203_0015, 0));
        let buffers = doorbell_buffers(0x1_2345_6000, 0x2_3456_7000);
        assert_eq!(parts(buffers), (0x7c, 0x1_2345_6000, 0, 0));
        let buffers = buffers.as_command();
        assert_eq!((buffers.dword(8), buffers.dword(9)), (0x3456_7000, 2));
        assert_eq!(parts(power_state()), (0xa, 0, 2, 0));
        assert_eq!(parts(set_power_state(0x44)), (9, 0, 2, 0x44));
        let event = async_event(CommandId::new(0x1f, 0));
        assert_eq!((event.dword(0), event.dword(10)), (0x001f_000c, 0));
    }
}
