// SPDX-License-Identifier: GPL-2.0

//! Commands and data structures of the base specification, as they are on the wire.
//!
//! Formats only: what they are for is told where they are used.

pub(crate) mod admin;
pub(crate) mod hmb;
pub(crate) mod namespaces;
pub(crate) mod status;
pub(crate) mod virtualization;
