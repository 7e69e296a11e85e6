// SPDX-License-Identifier: GPL-2.0

//! Memory that host and controller lend each other.
//!
//! What the memory is, and how it is had; `control` tells the controller of it.

pub(crate) mod cmb;
pub(crate) mod hmb;
