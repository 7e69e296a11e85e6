// SPDX-License-Identifier: GPL-2.0

//! How a controller is brought up, kept going and brought down.
//!
//! - [`lifecycle`]: the start of a controller, its resets and its end, by [`enable`] and [`stop`];
//!   [`power`]: what becomes of it while the system sleeps; [`timeout`]: what is done for a command
//!   that does not come back.
//! - [`io_queues`]: the I/O queues, created and deleted, with [`shadow_doorbells`].
//! - [`features`]: what the controller is told after it was identified; [`hmb`]: the Host Memory
//!   Buffer, given and taken back.
//!
//! All of this sleeps, but for [`timeout`], and is called by the transport, by the VFs' owner and by
//! what the PCI core calls. It uses the controller's state and everything below.

mod enable;
mod features;
pub(crate) mod hmb;
pub(crate) mod io_queues;
pub(crate) mod lifecycle;
pub(crate) mod power;
mod shadow_doorbells;
pub(crate) mod stop;
pub(crate) mod timeout;
