// SPDX-License-Identifier: GPL-2.0

//! The module's parameters. Those that the kernel's own driver has, too, have its names, types,
//! defaults and permissions.

use crate::quirks;
use kernel_ext::{
    block::mq,
    nvme::CommandId, //
};

/// The smallest and largest depth of an I/O queue: one entry stays empty, and each other is for a tag.
const IO_QUEUE_DEPTHS: core::ops::RangeInclusive<u32> = 2..=CommandId::MAX_TAG as u32;

kernel_ext::module_param! {
    /// How many VFs to enable on each physical function that is probed.
    pub(crate) sriov_vfs: u32 {
        default: 0,
        perm: 0o444,
        description: "Number of virtual functions to enable when a physical function is probed",
    }

    /// Whether interrupts are handled in threads; not if 0. For interrupts requested from now on.
    pub(crate) use_threaded_interrupts: i32 {
        default: 0,
        perm: 0o444,
        description: "Handle interrupts in kernel threads, if not 0",
    }

    /// Whether I/O submission queues are in the Controller Memory Buffer, where it can have them.
    pub(crate) use_cmb_sqes: bool {
        default: true,
        perm: 0o444,
        description: "Have I/O submission queues in the controller's memory buffer",
    }

    /// How much memory, in MiB, a controller can have as Host Memory Buffer; 0 for none.
    pub(crate) max_host_mem_size_mb: u32 {
        default: 128,
        perm: 0o444,
        description: "The most memory that a controller gets of the host, in MiB",
    }

    /// The most entries of an I/O queue, for controllers that are probed from now on.
    pub(crate) io_queue_depth: u32 {
        default: 1024,
        perm: 0o644,
        check: |depth| IO_QUEUE_DEPTHS.contains(&depth),
        description: "Entries of an I/O queue, from 2 to 4095",
    }

    /// From which average length of its segments on, in bytes, data is described by an SGL; 0 for
    /// never, unless PRPs cannot describe it. Shorter segments have more SGL descriptors than PRP
    /// entries pay for. For commands from now on.
    pub(crate) sgl_threshold: u32 {
        default: 32 << 10,
        perm: 0o644,
        description: "Average segment size from which on SGLs are used, in bytes; 0 for never",
    }

    /// How many I/O queues are for all but reads; 0 if reads share them. A reset applies it.
    pub(crate) write_queues: u32 {
        default: 0,
        perm: 0o644,
        check: |count| count <= mq::possible_queues(),
        description: "Number of queues for writes; if 0, reads and writes share queues",
    }

    /// How many I/O queues are polled. A reset applies it.
    pub(crate) poll_queues: u32 {
        default: 0,
        perm: 0o644,
        check: |count| count <= mq::possible_queues(),
        description: "Number of queues for polled I/O, without interrupts",
    }

    /// Whether what ACPI says of a device's power states is of no interest.
    pub(crate) noacpi: bool {
        default: false,
        perm: 0o444,
        description: "Ignore the firmware's wish to have devices in D3 while the system sleeps",
    }
}

kernel_ext::string_param! {
    /// Quirks to enable and to disable, by vendor and device id.
    pub(crate) quirks {
        capacity: 128,
        perm: 0o444,
        check: quirks::are_valid,
        description: "Quirks of devices, as VID:DID:name,^name-VID:DID:name; ^ disables",
    }
}
