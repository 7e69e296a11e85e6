// SPDX-License-Identifier: GPL-2.0

//! The module's parameters. Those that the in-tree driver has, too, have its names, types, defaults
//! and permissions.
//!
//! They may be read in any context and take no lock. One with permissions `0o644` can change at any
//! time, so a function that uses a value twice reads it once. Modules in lower layers get values from
//! their callers.

use crate::quirks;
use kernel_ext::{
    block::mq,
    nvme::CommandId, //
};

/// The smallest and largest depth of an I/O queue: one entry stays empty, and each of the others has a
/// tag.
const IO_QUEUE_DEPTHS: core::ops::RangeInclusive<u32> = 2..=CommandId::MAX_TAG as u32;

kernel_ext::module_param! {
    /// The number of VFs to enable on each physical function that is probed.
    pub(crate) sriov_vfs: u32 {
        default: 0,
        perm: 0o444,
        description: "Number of virtual functions to enable when a physical function is probed",
    }

    /// Whether interrupts are handled in threads; 0 for no. Applies when an interrupt is requested.
    pub(crate) use_threaded_interrupts: i32 {
        default: 0,
        perm: 0o444,
        description: "Handle interrupts in kernel threads, if not 0",
    }

    /// Whether I/O submission queues are in the Controller Memory Buffer, if it supports that.
    pub(crate) use_cmb_sqes: bool {
        default: true,
        perm: 0o444,
        description: "Have I/O submission queues in the controller's memory buffer",
    }

    /// The largest Host Memory Buffer that a controller gets, in MiB; 0 for none.
    pub(crate) max_host_mem_size_mb: u32 {
        default: 128,
        perm: 0o444,
        description: "The most memory that a controller gets of the host, in MiB",
    }

    /// The largest number of entries of an I/O queue. Applies when a controller is probed.
    pub(crate) io_queue_depth: u32 {
        default: 1024,
        perm: 0o644,
        check: |depth| IO_QUEUE_DEPTHS.contains(&depth),
        description: "Entries of an I/O queue, from 2 to 4095",
    }

    /// The average length of segments, in bytes, from which on an SGL describes the data; 0 for never,
    /// unless PRPs cannot describe it. With shorter segments the SGL needs so many 16-byte descriptors
    /// that a list of 8-byte PRP entries is cheaper. Applies to each command.
    pub(crate) sgl_threshold: u32 {
        default: 32 << 10,
        perm: 0o644,
        description: "Average segment size from which on SGLs are used, in bytes; 0 for never",
    }

    /// The number of I/O queues for everything but reads; 0 if reads share them. A reset applies it.
    pub(crate) write_queues: u32 {
        default: 0,
        perm: 0o644,
        check: |count| count <= mq::possible_queues(),
        description: "Number of queues for writes; if 0, reads and writes share queues",
    }

    /// The number of polled I/O queues. A reset applies it.
    pub(crate) poll_queues: u32 {
        default: 0,
        perm: 0o644,
        check: |count| count <= mq::possible_queues(),
        description: "Number of queues for polled I/O, without interrupts",
    }

    /// Whether to ignore what ACPI says about the power state of a device during system sleep.
    pub(crate) noacpi: bool {
        default: false,
        perm: 0o444,
        description: "Ignore the firmware's wish to have devices in D3 while the system sleeps",
    }
}

kernel_ext::string_param! {
    /// The quirks to enable and to disable, by vendor and device id.
    pub(crate) quirks {
        capacity: 128,
        perm: 0o444,
        check: quirks::are_valid,
        description: "Quirks of devices, as VID:DID:name,^name-VID:DID:name; ^ disables",
    }
}
