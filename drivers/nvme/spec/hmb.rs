// SPDX-License-Identifier: GPL-2.0

//! The commands and data structures by which the controller is given the Host Memory Buffer (base
//! specification, section 5.1.25.2.4).

use super::admin::set_features;
use super::PAGE_SIZE;
use kernel::{
    dma::DmaAddress,
    prelude::*, //
};
use kernel_ext::nvme::{
    AdminCommand,
    NoData, //
};

/// The feature (Feature Identifier 0Dh).
const HOST_MEMORY_BUFFER: u8 = 0x0d;

/// Enable Host Memory.
const EHM: u32 = 1 << 0;
/// Memory Return: the controller gets back memory that it had before, with the same contents.
const MR: u32 = 1 << 1;

/// The unit of all sizes: the memory page size that nvme-core sets (CC.MPS).
pub(crate) const PAGE: u64 = PAGE_SIZE as u64;

/// A Host Memory Buffer Descriptor Entry, which describes one piece of the buffer: two words,
/// little-endian.
pub(crate) type Descriptor = [u64; 2];

/// Returns the descriptor of `pages` pages at `address`.
pub(crate) fn descriptor(address: DmaAddress, pages: u32) -> Descriptor {
    [address.to_le(), u64::from(pages).to_le()]
}

/// Gives the controller `pages` pages, which the list of `count` descriptors at `list` describes.
/// `returned` says that it had the same memory before, with the same contents.
pub(crate) fn enable(
    pages: u32,
    list: DmaAddress,
    count: u32,
    returned: bool,
) -> AdminCommand<NoData> {
    set_features(HOST_MEMORY_BUFFER)
        .with_dword::<11>(EHM | if returned { MR } else { 0 })
        .with_dword::<12>(pages)
        .with_dword::<13>(list as u32)
        .with_dword::<14>((list >> 32) as u32)
        .with_dword::<15>(count)
}

/// Takes the memory back: when the command is complete, the controller no longer accesses it.
pub(crate) fn disable() -> AdminCommand<NoData> {
    set_features(HOST_MEMORY_BUFFER)
}

#[kunit_tests(nvme_rs_hmb)]
mod tests {
    use super::*;

    /// Dwords 10 to 15.
    fn parts(command: AdminCommand<NoData>) -> [u32; 6] {
        core::array::from_fn(|i| command.as_command().dword(10 + i))
    }

    #[test]
    fn commands() {
        let new = enable(0x8000, 0x12_3456_7000, 32, false);
        assert_eq!(new.as_command().opcode(), 0x09);
        assert_eq!(parts(new), [0x0d, 1, 0x8000, 0x3456_7000, 0x12, 32]);
        let again = enable(1, 0xf000, 1, true);
        assert_eq!(parts(again), [0x0d, 3, 1, 0xf000, 0, 1]);
        assert_eq!(disable().as_command().opcode(), 0x09);
        assert_eq!(parts(disable()), [0x0d, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn descriptors() {
        let words = descriptor(0x12_3456_7000, u32::MAX);
        // BADD in bytes 7:0, BSIZE in bytes 11:8, the others reserved.
        assert_eq!(words.map(u64::from_le), [0x12_3456_7000, 0xffff_ffff]);
    }
}
