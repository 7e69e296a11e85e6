// SPDX-License-Identifier: GPL-2.0

//! What the `kernel` crate lacks for a complete PCI storage driver.
//!
//! The modules mirror the paths that they would have in the `kernel` crate, and each stands on
//! its own. All unsafe code of the driver is in this crate; its public interface is safe and is
//! meant to be sound for any caller, not only for the driver beside it.
//!
//! - [`block`]: what blk-mq hands to a driver: statuses, completion batches, request mapping.
//! - [`dma`]: pools of small coherent blocks for each NUMA node, memory that an IOMMU puts
//!   together.
//! - [`dmi`]: what the firmware says of the machine.
//! - [`mod@module_param`]: module parameters that show in sysfs.
//! - [`numa`]: which CPUs are next to which memory.
//! - [`nvme`]: nvme-core, the library behind every NVMe transport of the kernel.
//! - [`pci`]: driver callbacks, SR-IOV, interrupt vectors, bus notifications, BAR mappings,
//!   memory for peer-to-peer DMA.
//! - [`sync`]: completions with a time limit.
//! - [`sysfs`]: folders of attributes.
//! - [`workqueue`]: workqueues of a module's own.

// Kbuild has these on the command line, where rustdoc overlooks them when it collects examples.
#![cfg_attr(doctest, no_std, feature(asm_goto))]

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
