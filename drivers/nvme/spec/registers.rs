// SPDX-License-Identifier: GPL-2.0

//! Controller registers in BAR 0 (base specification, section 3.1.4; NVMe over PCIe Transport
//! Specification 1.1, section 3.1.2): where they are and what their bits mean. `bar` reads and
//! writes them.

mod cmb;

pub(crate) use self::cmb::{
    CMBLOC,
    CMBMSC,
    CMBSTS,
    CMBSZ, //
};

use kernel::{
    io::register,
    prelude::*, //
};

/// Where the doorbells begin.
pub(crate) const DOORBELLS: usize = 0x1000;

register! {
    /// Controller Capabilities.
    pub(crate) CAP(u64) @ 0x00 {
        /// Controller Memory Buffer Supported: CMBMSC enables the buffer. Before revision 1.4 there
        /// was no such register, and the buffer was always enabled.
        57:57 cmbs => bool;
        /// NVM Subsystem Reset Supported.
        36:36 nssrs => bool;
        /// Doorbell Stride: doorbells are 2^(2 + DSTRD) bytes apart.
        35:32 dstrd;
        /// Maximum Queue Entries Supported, 0's based.
        15:0 mqes;
    }

    /// Version.
    pub(crate) VS(u32) @ 0x08 {
        /// Major Version Number.
        31:16 mjr;
        /// Minor Version Number.
        15:8 mnr;
    }

    /// Controller Status.
    pub(crate) CSTS(u32) @ 0x1c {
        /// NVM Subsystem Reset Occurred.
        4:4 nssro => bool;
        /// Controller Fatal Status.
        1:1 cfs => bool;
        /// Ready.
        0:0 rdy => bool;
    }

    /// Admin Queue Attributes.
    pub(crate) AQA(u32) @ 0x24 {
        /// Admin Completion Queue Size, 0's based.
        27:16 acqs;
        /// Admin Submission Queue Size, 0's based.
        11:0 asqs;
    }
}

impl CAP {
    /// Returns how many entries a queue can have at most.
    pub(crate) fn queue_entries(self) -> u32 {
        u32::from(u16::from(self.mqes())) + 1
    }

    /// Returns the distance between doorbells, in bytes.
    pub(crate) fn doorbell_stride(self) -> usize {
        4 << u8::from(self.dstrd())
    }
}

/// NVM Subsystem Reset, 32 bits.
pub(crate) const NSSR: usize = 0x20;

/// The value that resets the NVM subsystem when it is written to NSSR: "NVMe".
pub(crate) const NSSR_RESET: u32 = 0x4e56_4d65;

/// Admin Submission Queue Base Address, 64 bits.
pub(crate) const ASQ: usize = 0x28;

/// Admin Completion Queue Base Address, 64 bits.
pub(crate) const ACQ: usize = 0x30;

/// Bits of Controller Configuration, which nvme-core writes.
pub(crate) mod cc {
    /// Enable.
    pub(crate) const EN: u32 = 1;
    /// Shutdown Notification: normal.
    pub(crate) const SHN_NORMAL: u32 = 1 << 14;
}

/// The value of every 32-bit register of a device that has left the bus: all ones.
pub(crate) const GONE: u32 = u32::MAX;

/// Returns the numbers of queue pair `qid`'s doorbells (NVMe over PCIe Transport Specification,
/// section 3.1.2): the submission queue's tail, the completion queue's head.
pub(crate) fn doorbells(qid: u16) -> (usize, usize) {
    let tail = 2 * usize::from(qid);
    (tail, tail + 1)
}

/// Returns the offset of doorbell `number`, if doorbells are `stride` bytes apart.
pub(crate) fn doorbell(number: usize, stride: usize) -> usize {
    DOORBELLS.saturating_add(number.saturating_mul(stride))
}

#[kunit_tests(nvme_rs_regs)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_a_queue() {
        // MQES is 0's based, 16 bits wide.
        assert_eq!(CAP::from_raw(0).queue_entries(), 1);
        assert_eq!(CAP::from_raw(0x07ff).queue_entries(), 2048);
        assert_eq!(CAP::from_raw(0xffff).queue_entries(), 65536);
        assert_eq!(CAP::from_raw(!0xffff).queue_entries(), 1);
    }

    #[test]
    fn memory_buffer() {
        assert!(CAP::from_raw(1 << 57).cmbs());
        assert!(!CAP::from_raw(!(1 << 57)).cmbs());
    }

    #[test]
    fn doorbell_stride_is_a_power_of_two() {
        for dstrd in 0..16 {
            let cap = CAP::from_raw(dstrd << 32);
            assert_eq!(cap.doorbell_stride(), 1 << (2 + dstrd));
        }
        // The bits beside it: Contiguous Queues and others below, NSSRS above.
        assert_eq!(CAP::from_raw(!(0xf << 32)).doorbell_stride(), 4);
    }

    /// Every other doorbell is a tail, in the order of the queues.
    #[test]
    fn doorbells_alternate() {
        for stride in [4, 8, 4096, 4 << 15] {
            let mut at = 0x1000;
            for qid in 0..=u16::MAX {
                let (tail, head) = doorbells(qid);
                assert_eq!(doorbell(tail, stride), at);
                assert_eq!(doorbell(head, stride), at + stride);
                at += 2 * stride;
            }
        }
    }

    #[test]
    fn status_bits() {
        let ready = CSTS::from_raw(1);
        assert!(ready.rdy() && !ready.cfs() && !ready.nssro());
        let fatal = CSTS::from_raw(2);
        assert!(!fatal.rdy() && fatal.cfs() && !fatal.nssro());
        // SHST, bits 3:2, is nvme-core's.
        let shut = CSTS::from_raw(0xc);
        assert!(!shut.rdy() && !shut.cfs() && !shut.nssro());
        let reset = CSTS::from_raw(0x10);
        assert!(!reset.rdy() && !reset.cfs() && reset.nssro());
    }
}
