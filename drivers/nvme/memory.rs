// SPDX-License-Identifier: GPL-2.0

//! Memory that the controller lends the host ([`cmb`]), and memory that the host lends the controller
//! ([`hmb`]).
//!
//! These modules find or allocate the memory; `control` sends the commands about it. All of it sleeps.

pub(crate) mod cmb;
pub(crate) mod hmb;
