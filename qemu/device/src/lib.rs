// SPDX-License-Identifier: GPL-2.0

//! An NVMe controller outside of QEMU, which serves it over vfio-user.
//!
//! The controller follows the NVMe specification by itself: it shares no file with the driver.
//! What it does wrong, it does by rules, which are data ([`behaviours`]). The layers, from below:
//!
//! - [`random`], [`journal`], [`settings`]: what all of it uses
//! - [`memory`], [`transfer`]: the host's memory, and the data of a command in it
//! - [`pci`], [`interrupts`]: what a PCI function is
//! - [`registers`], [`queues`], [`command`]: what a controller is to a driver
//! - [`namespace`]: the disks
//! - [`behaviours`]: what goes wrong
//! - [`controller`], with [`admin`] and [`io`]: a controller made of these
//! - [`server`], [`control`]: its sockets, one for QEMU and one for tests

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

pub mod admin;
pub mod behaviours;
pub mod command;
pub mod control;
pub mod controller;
pub mod interrupts;
pub mod io;
pub mod journal;
pub mod memory;
pub mod namespace;
pub mod pci;
pub mod queues;
pub mod random;
pub mod registers;
pub mod server;
pub mod settings;
pub mod transfer;
