// SPDX-License-Identifier: GPL-2.0

//! What the `kernel` crate lacks for a complete PCI storage driver.
//!
//! The modules mirror the paths that they would have in the `kernel` crate. All unsafe code of the
//! driver is in this crate; its public interface is safe and is meant to be sound for any caller,
//! not only for the driver beside it.
//!
//! A module uses the kernel crate and C, and of this crate only what is named here: [`dma`] uses
//! [`numa`]; [`pci`] uses [`sync`] and [`workqueue`]; [`nvme`] uses [`mod@alloc`], [`block`],
//! [`pci`], [`sync`] and [`sysfs`]. Both [`dma`] and [`pci`] use a private module that has the unbinding of a
//! device wait for what is made of it; that uses [`sync`]. The others stand on their own.
//!
//! - [`mod@alloc`]: scopes in which allocations do no I/O.
//! - [`block`]: statuses of requests, and mapping their data for DMA.
//! - [`dma`]: pools of small coherent blocks for each NUMA node, memory that an IOMMU makes
//!   contiguous.
//! - [`dmi`]: the firmware's names for the machine.
//! - [`mod@module_param`]: module parameters that show in sysfs.
//! - [`numa`]: which CPUs are next to which memory.
//! - [`nvme`]: nvme-core, the library behind every NVMe transport of the kernel.
//! - [`pci`]: driver callbacks, SR-IOV, interrupt vectors, bus notifications, BAR mappings,
//!   memory for peer-to-peer DMA.
//! - [`sync`]: completions with a time limit, evidence of an RCU read-side section.
//! - [`sysfs`]: folders of attributes.
//! - [`workqueue`]: workqueues that a module owns.

// Kbuild has these on the command line, where rustdoc overlooks them when it collects examples.
#![cfg_attr(doctest, no_std, feature(asm_goto))]

pub mod alloc;
mod binding;
mod bindings;
pub mod block;
pub mod dma;
pub mod dmi;
mod layout;
pub mod module_param;
pub mod numa;
pub mod nvme;
pub mod pci;
pub mod sync;
pub mod sysfs;
pub mod workqueue;

/// Prefix of this crate's `pr_*!` lines: they appear as the module's own.
const __LOG_PREFIX: &[u8] = b"nvme_rs\0";
