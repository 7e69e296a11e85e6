// SPDX-License-Identifier: GPL-2.0

//! Registers, commands and data structures of the NVM Express specifications, as they are on the
//! wire.
//!
//! Formats and the arithmetic on them only: the modules use nothing of the driver, and all of the
//! driver may use them. What a format is for is told where it is used.

/// The memory page size that nvme-core tells the controller (CC.MPS = 0), in bytes.
pub(crate) const PAGE_SIZE: u32 = 4096;

pub(crate) mod admin;
pub(crate) mod hmb;
pub(crate) mod namespaces;
pub(crate) mod registers;
pub(crate) mod status;
pub(crate) mod virtualization;
