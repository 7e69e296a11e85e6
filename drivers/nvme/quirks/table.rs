// SPDX-License-Identifier: GPL-2.0

//! The devices that the driver binds to, and the quirks that they have by their ids.
//!
//! The in-tree driver lists the same quirks for the same devices; `test_quirks.py` compares them.

use super::id::Id;
use kernel::pci::{
    DeviceId,
    IdTable, //
};
use kernel_ext::{
    nvme::Quirks,
    pci::device_id, //
};

/// Mass storage, non-volatile memory, NVM Express I/O controller (PCI Code and ID Assignment
/// Specification).
const CLASS_NVME: u32 = 0x01_08_02;

/// Creates the ID table: devices by vendor, and last every device with the class code of an NVMe
/// controller. The quirks are in a table of their own, see `kernel_ext::pci::Driver::ID_TABLE`.
macro_rules! devices {
    ($($vendor:literal { $($device:literal => $($quirk:ident)|+,)* })*) => {
        kernel::pci_device_table!(
            PCI_TABLE,
            @none,
            [
                $($(device_id($vendor, $device),)*)*
                DeviceId::from_class(CLASS_NVME, 0xff_ff_ff),
            ]
        );

        const QUIRKS: &[(Id, Quirks)] = &[
            $($((($vendor, $device), Quirks::NONE$(.or(Quirks::$quirk))+),)*)*
        ];
    };
}

/// The table by which the PCI core finds the devices, and user space the module for a device.
pub(crate) const ID_TABLE: IdTable<()> = &PCI_TABLE;

/// Returns the quirks of the device with this `id`; none if it is not in the table.
pub(super) fn quirks(id: Id) -> Quirks {
    let known = QUIRKS.iter().find(|(of, _)| *of == id);
    known.map_or(Quirks::NONE, |&(_, quirks)| quirks)
}

devices! {
    // Intel.
    0x8086 {
        0x0953 => STRIPE_SIZE | DEALLOCATE_ZEROES, // 750/P3500/P3600/P3700
        0x0a53 => STRIPE_SIZE | DEALLOCATE_ZEROES, // P3520
        0x0a54 => STRIPE_SIZE | IGNORE_DEV_SUBNQN | BOGUS_NID, // P4500/P4600
        0x0a55 => STRIPE_SIZE, // Dell Express Flash P4600
        // 600P/P3100
        0xf1a5 => NO_DEEPEST_PS | MEDIUM_PRIO_SQ | NO_TEMP_THRESH_CHANGE | DISABLE_WRITE_ZEROES,
        0xf1a6 => IGNORE_DEV_SUBNQN, // 760p/Pro 7600p
        0x5845 => IDENTIFY_CNS | DISABLE_WRITE_ZEROES | BOGUS_NID, // QEMU
    }
    // Red Hat.
    0x1b36 {
        0x0010 => BOGUS_NID, // QEMU
    }
    // O2 Micro.
    0x1217 {
        0x8760 => DMAPOOL_ALIGN_512, // 64GB Steam Deck
    }
    // Silicon Motion.
    0x126f {
        0x1001 => NO_DEEPEST_PS | IGNORE_DEV_SUBNQN,
        0x2262 => NO_DEEPEST_PS | BOGUS_NID,
        0x2263 => NO_NS_DESC_LIST | BOGUS_NID,
    }
    // Seagate.
    0x1bb1 {
        0x0100 => DELAY_BEFORE_CHK_RDY | NO_NS_DESC_LIST, // Nytro Flash Storage
    }
    // HGST.
    0x1c58 {
        0x0003 => DELAY_BEFORE_CHK_RDY,
        0x0023 => DELAY_BEFORE_CHK_RDY, // WDC SN200
    }
    // Memblaze.
    0x1c5f {
        0x0540 => DELAY_BEFORE_CHK_RDY, // Pblaze4
        0x0555 => NO_NS_DESC_LIST, // Pblaze5
    }
    // Samsung.
    0x144d {
        0xa821 => DELAY_BEFORE_CHK_RDY, // PM1725
        0xa822 => DELAY_BEFORE_CHK_RDY | DISABLE_WRITE_ZEROES | IGNORE_DEV_SUBNQN, // PM1725a
        0xa80b => DISABLE_WRITE_ZEROES | BOGUS_NID, // PM9B1 256G and 512G
        0xa809 => DISABLE_WRITE_ZEROES, // MZALQ256HBJD 256G
        0xa802 => BOGUS_NID, // SM953
    }
    // Sandisk.
    0x15b7 {
        0x5008 => BROKEN_MSI, // SN530
        0x5009 => BROKEN_MSI | NO_DEEPEST_PS, // SN550
        0x2001 => DISABLE_WRITE_ZEROES, // Skyhawk
    }
    // Phison.
    0x1987 {
        0x5012 => BOGUS_NID, // E12
        0x5016 => IGNORE_DEV_SUBNQN | BOGUS_NID, // E16
        0x5019 => DISABLE_WRITE_ZEROES, // E19
        0x5021 => DISABLE_WRITE_ZEROES, // E21
    }
    // Marvell.
    0x1b4b {
        0x1092 => NO_NS_DESC_LIST | IGNORE_DEV_SUBNQN, // Lexar 256 GB
    }
    // ADATA.
    0x1cc1 {
        0x33f8 => BOGUS_NID, // IM2P33F8ABR1 1 TB
        0x8201 => NO_DEEPEST_PS | IGNORE_DEV_SUBNQN, // SX8200PNP 512GB
        0x5350 => BOGUS_NID, // XPG GAMMIX S50
    }
    // Realtek.
    0x10ec {
        0x5762 => IGNORE_DEV_SUBNQN | BOGUS_NID, // ADATA SX6000LNP
        0x5763 => BOGUS_NID, // ADATA SX6000PNP
        0x5765 => BOGUS_NID, // TEAMGROUP MP33 2TB
    }
    // Micron.
    0x1344 {
        0x5407 => IGNORE_DEV_SUBNQN,
        0x6001 => BOGUS_NID, // Nitro NVMe
        0x6004 => DMAPOOL_ALIGN_512, // 4100AT
    }
    // SK hynix.
    0x1c5c {
        0x1504 => DISABLE_WRITE_ZEROES, // PC400
        0x174a => BOGUS_NID, // P31
        0x1d59 => DISABLE_WRITE_ZEROES, // BC901
    }
    // Longsys.
    0x1d97 {
        0x2263 => DISABLE_WRITE_ZEROES, // SPCC
        0x1d97 => BOGUS_NID, // Lexar NM620
        0x2269 => BOGUS_NID | IGNORE_DEV_SUBNQN, // Lexar NM760
    }
    // UMIS.
    0x1cc4 {
        0x6303 => DISABLE_WRITE_ZEROES, // RPJTJ512MGE1QDY 512G
        0x6302 => DISABLE_WRITE_ZEROES, // RPJTJ256MGE1QDY 256G
    }
    // Kingston.
    0x2646 {
        0x2262 => NO_DEEPEST_PS, // SKC2000
        0x2263 => NO_DEEPEST_PS, // A2000
        0x5013 => NO_SECONDARY_TEMP_THRESH, // KC3000, Kingston FURY Renegade
        0x5018 => DISABLE_WRITE_ZEROES, // OM8SFP4xxxxP OS21012
        0x5016 => DISABLE_WRITE_ZEROES, // OM3PGP4xxxxP OS21011
        0x501a => DISABLE_WRITE_ZEROES, // OM8PGP4xxxxP OS21005
        0x501b => DISABLE_WRITE_ZEROES, // OM8PGP4xxxxQ OS21005
        0x501e => DISABLE_WRITE_ZEROES, // OM3PGP4xxxxQ OS21011
        0x502f => DISABLE_WRITE_ZEROES, // OM3SGP4xxxxK
    }
    // Netac.
    0x1f40 {
        0x1202 => BOGUS_NID, // Technologies Co. NV3000
        0x5236 => BOGUS_NID, // Technologies Co. NV7000
    }
    // MAXIO.
    0x1e4b {
        0x1001 => BOGUS_NID, // MAP1001
        0x1002 => BOGUS_NID, // MAP1002
        0x1202 => BOGUS_NID, // MAP1202
        0x1602 => BOGUS_NID, // MAP1602
    }
    // INNOGRIT.
    0x1dbe {
        0x5216 => BOGUS_NID, // Acer/INNOGRIT FA100/5216
        0x5236 => BOGUS_NID, // ADATA XPG GAMMIX S70
    }
    // YMTC.
    0x1e49 {
        0x0021 => NO_DEEPEST_PS, // ZHITAI TiPro5000
        0x0041 => NO_DEEPEST_PS, // ZHITAI TiPro7000
    }
    // Wodposit.
    0x1fa0 {
        0x2283 => NO_SECONDARY_TEMP_THRESH, // WPBSNM8-256GTP
    }
    // Solidigm.
    0x025e {
        0xf1ac => NO_DEEPEST_PS, // P44 pro SSDPFKKW020X7
    }
    // Crucial.
    0xc0a9 {
        0x540a => BOGUS_NID, // P2
    }
    // Amazon.
    0x1d0f {
        0x0061 => DMA_ADDRESS_BITS_48,
        0x0065 => DMA_ADDRESS_BITS_48,
        0x8061 => DMA_ADDRESS_BITS_48,
        0xcd00 => DMA_ADDRESS_BITS_48,
        0xcd01 => DMA_ADDRESS_BITS_48,
        0xcd02 => DMA_ADDRESS_BITS_48,
    }
    // Apple.
    0x106b {
        // MacBook8,1 and some MacBook7,1: else it is reset, and loses data
        0x2001 => SINGLE_VECTOR | QDEPTH_ONE,
        0x2003 => NONE,
        0x2005 => SINGLE_VECTOR | SQES_128_BYTES | SHARED_TAGS | SKIP_CID_GEN | IDENTIFY_CNS,
    }
}
