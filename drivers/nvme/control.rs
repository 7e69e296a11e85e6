// SPDX-License-Identifier: GPL-2.0

//! Starts, resets, recovers and stops controllers.
//!
//! - [`lifecycle`]: the start of a controller, its resets and its teardown, by [`enable`] and [`stop`];
//!   [`power`]: system sleep; [`timeout`]: commands that are not answered in time.
//! - [`io_queues`]: creates and deletes the I/O queues, with [`shadow_doorbells`]; [`depth`]: how many
//!   entries they have.
//! - [`features`]: sends the feature commands of a start and a stop; [`hmb`]: gives the controller its
//!   Host Memory Buffer, and takes it back.
//!
//! All of this sleeps. It is called by the transport, which has it from nvme-core's work items and the
//! block layer's timeout work, by the VFs' owner, and by the callbacks of the PCI core. It uses the
//! controller's state and everything below.

mod depth;
mod enable;
mod features;
pub(crate) mod hmb;
pub(crate) mod io_queues;
pub(crate) mod lifecycle;
pub(crate) mod power;
mod shadow_doorbells;
pub(crate) mod stop;
pub(crate) mod timeout;
