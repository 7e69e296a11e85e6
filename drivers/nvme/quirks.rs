// SPDX-License-Identifier: GPL-2.0

//! Controllers that deviate from the specification: which ones, and what the transport decides for
//! them. nvme-core obeys the other quirks, and finds more of them by model and firmware.
//!
//! These functions decide by ids, by registers, and by the module's parameters, which the caller
//! passes. They change nothing and take no lock.

mod boards;
mod id;
mod rules;
mod table;

pub(crate) use self::{
    id::{
        id,
        Id, //
    },
    rules::are_valid,
    table::ID_TABLE, //
};

use crate::spec::registers::CAP;
use kernel::{
    device::Core,
    dma::DmaMask,
    pci::Device,
    prelude::*, //
};
use kernel_ext::{
    dmi,
    nvme::{
        Quirks,
        ADMIN_QUEUE_DEPTH, //
    },
    pci::{
        irq::Kinds,
        DeviceExt, //
    },
};

/// Samsung PM1725 and PM1725a, as vendor and device id.
const PM1725: [(u16, u16); 2] = [(0x144d, 0xa821), (0x144d, 0xa822)];

/// Returns the quirks of `dev`: by its ids, by the machine that it is in, and by the administrator's
/// `rules`. If `obeys_firmware`, it also has a quirk where the firmware wants storage in D3 while the
/// system sleeps.
pub(crate) fn of_device(dev: &Device<Core<'_>>, obeys_firmware: bool, rules: &[u8]) -> Quirks {
    let id = id(dev);
    let mut quirks = table::quirks(id);
    quirks |= boards::quirks(id, dmi::matches);
    if obeys_firmware && !quirks.contains(Quirks::FORCE_NO_SIMPLE_SUSPEND) && dev.wants_storage_d3()
    {
        quirks |= Quirks::SIMPLE_SUSPEND;
    }
    rules::apply(rules, id, quirks)
}

/// Returns the DMA mask of a controller.
pub(crate) fn dma_mask(quirks: Quirks) -> DmaMask {
    if quirks.contains(Quirks::DMA_ADDRESS_BITS_48) {
        DmaMask::new::<48>()
    } else {
        DmaMask::new::<64>()
    }
}

/// Returns the kinds of interrupts that a controller can use.
pub(crate) fn interrupts(quirks: Quirks) -> Kinds {
    if quirks.contains(Quirks::BROKEN_MSI) {
        Kinds::NotMsi
    } else {
        Kinds::Any
    }
}

/// Returns how many entries an I/O queue has, on a controller with this `id`, CAP and `quirks`. `limit`
/// is the module parameter `io_queue_depth`.
pub(crate) fn io_queue_depth(id: Id, cap: CAP, quirks: Quirks, limit: u32) -> u32 {
    let depth = if quirks.contains(Quirks::QDEPTH_ONE) {
        // One command: one entry of a queue always stays empty.
        2
    } else if cap.queue_entries() == 1 && PM1725.contains(&id) {
        64
    } else {
        cap.queue_entries().min(limit)
    };
    if quirks.contains(Quirks::SHARED_TAGS) {
        // nvme-core does not use the tags of the admin queue for the I/O queue.
        depth.max(u32::from(ADMIN_QUEUE_DEPTH) + 2)
    } else {
        depth
    }
}

#[kunit_tests(nvme_rs_quirks)]
mod tests {
    use super::*;

    const QEMU: Id = (0x1b36, 0x0010);

    /// Returns the depth for a CAP.MQES of `mqes`.
    fn depth(id: Id, mqes: u64, quirks: Quirks, limit: u32) -> u32 {
        io_queue_depth(id, CAP::from_raw(mqes), quirks, limit)
    }

    #[test]
    fn depth_is_what_controller_and_administrator_allow() {
        assert_eq!(depth(QEMU, 2047, Quirks::NONE, 1024), 1024);
        assert_eq!(depth(QEMU, 127, Quirks::NONE, 1024), 128);
        assert_eq!(depth(QEMU, 0, Quirks::NONE, 1024), 1);
    }

    #[test]
    fn depth_of_one_command() {
        assert_eq!(depth(QEMU, 2047, Quirks::QDEPTH_ONE, 1024), 2);
        assert_eq!(depth(PM1725[0], 0, Quirks::QDEPTH_ONE, 1024), 2);
    }

    #[test]
    fn some_have_more_than_they_say() {
        for id in PM1725 {
            assert_eq!(depth(id, 0, Quirks::NONE, 1024), 64);
            assert_eq!(depth(id, 1023, Quirks::NONE, 512), 512);
        }
    }

    #[test]
    fn shared_tags_leave_room_for_the_admin_queue() {
        assert_eq!(depth(QEMU, 2047, Quirks::SHARED_TAGS, 1024), 1024);
        assert_eq!(depth(QEMU, 2047, Quirks::SHARED_TAGS, 2), 34);
        let both = Quirks::SHARED_TAGS | Quirks::QDEPTH_ONE;
        assert_eq!(depth(QEMU, 2047, both, 1024), 34);
    }
}
