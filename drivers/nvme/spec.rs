// SPDX-License-Identifier: GPL-2.0

//! Registers, commands and data structures of the NVM Express specifications, as they are on the
//! wire.
//!
//! These modules hold formats and the arithmetic on them, nothing else. They use no other module of
//! the driver, and every other module may use them, in any context. What a command is sent for is
//! explained where it is sent.
//!
//! # Short forms of the specifications
//!
//! The names of single fields are explained at the fields.
//!
//! - ACQ, ASQ: Admin Completion Queue and Admin Submission Queue, also the registers with their
//!   addresses.
//! - AQA: Admin Queue Attributes, the register with the sizes of the two.
//! - CAP: Controller Capabilities, a register.
//! - CC: Controller Configuration, a register.
//! - CFS: Controller Fatal Status, a bit of CSTS.
//! - CID: Command Identifier, by which a completion names its command.
//! - CMB: Controller Memory Buffer, memory of the controller that the host can use.
//! - CMBLOC, CMBMSC, CMBSTS, CMBSZ: the registers of the CMB: Location, Memory Space Control, Status
//!   and Size.
//! - CNS: Controller or Namespace Structure, which data structure Identify returns.
//! - CNTID, CNTLID: Controller Identifier, in a command and in a data structure.
//! - CQ, CQE: Completion Queue, and an entry of it.
//! - CRT: Controller Resource Types, the kinds of flexible resources that a controller has.
//! - CSTS: Controller Status, a register.
//! - DSTRD: Doorbell Stride, the distance between doorbells, a field of CAP.
//! - FID: Feature Identifier, which feature Get Features and Set Features are about.
//! - HMB: Host Memory Buffer, memory of the host that the controller can use.
//! - HMMAXD, HMMIN, HMMINDS, HMPRE: what a controller wants of an HMB: Maximum Descriptors, Minimum
//!   Size, Minimum Descriptor Entry Size and Preferred Size.
//! - LID: Log Page Identifier, which log page Get Log Page returns.
//! - MPS: Memory Page Size, a field of CC.
//! - MQES: Maximum Queue Entries Supported, a field of CAP.
//! - NSID: Namespace Identifier.
//! - NSSR, NSSRO, NSSRS: NVM Subsystem Reset, a register; Occurred, a bit of CSTS; Supported, a bit of
//!   CAP.
//! - OACS: Optional Admin Command Support, a field of Identify Controller.
//! - PC: Physically Contiguous, a bit of the commands that create queues.
//! - PRP: Physical Region Page, an entry that points to a page of data.
//! - QID: Queue Identifier; 0 is the admin queue.
//! - QPRIO: Queue Priority of a submission queue.
//! - SCID: Secondary Controller Identifier, the CNTLID of a VF's controller.
//! - SGL: Scatter Gather List, descriptors that point to data of any length.
//! - SHN: Shutdown Notification, a field of CC.
//! - SQ: Submission Queue.
//! - VFN: Virtual Function Number, from 1. The driver counts VFs from 0.
//! - VI, VQ: Virtual Interrupt and Virtual Queue, the two kinds of flexible resources.
//! - VS: Version, a register.

/// The memory page size that nvme-core sets (CC.MPS = 0), in bytes.
pub(crate) const PAGE_SIZE: u32 = 4096;

pub(crate) mod admin;
pub(crate) mod hmb;
pub(crate) mod namespaces;
pub(crate) mod registers;
pub(crate) mod status;
pub(crate) mod virtualization;
