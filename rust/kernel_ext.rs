// SPDX-License-Identifier: GPL-2.0

//! What the `kernel` crate lacks for a complete PCI storage driver.
//!
//! The modules mirror the paths that they would have in the `kernel` crate, and each stands on
//! its own. All unsafe code of the driver is in this crate; its public interface is safe and is
//! meant to be sound for any caller, not only for the driver beside it.
//!
//! - [`block`]: what blk-mq hands to a driver: statuses, completion batches, request mapping.
//! - [`dma`]: pools of small coherent blocks.
//! - [`nvme`]: nvme-core, the library behind every NVMe transport of the kernel.
//! - [`pci`]: driver callbacks, SR-IOV, interrupt vectors, bus notifications, BAR mappings.
//! - [`sync`]: completions with a time limit.

pub mod block;
pub mod dma;
pub mod nvme;
pub mod pci;
pub mod sync;

/// Kernel interfaces that the `kernel` crate's own bindings leave out, on top of those.
#[allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    rustdoc::all,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
pub(crate) mod bindings {
    include!(env!("KERNEL_EXT_BINDINGS"));
}

/// Prefix of this crate's `pr_*!` lines: they appear as the module's own.
const __LOG_PREFIX: &[u8] = b"nvme_rs\0";
