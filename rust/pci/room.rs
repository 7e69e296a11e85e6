// SPDX-License-Identifier: GPL-2.0

//! Whether the bus has room for VFs: memory for their BARs, and bus numbers.

use super::as_raw;
use crate::bindings;
use kernel::{
    device::Bound,
    pci::Device,
    prelude::*, //
};

/// What the bus lacks. The PCI core answers `ENOMEM` to either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// VF BAR `bar` (0 to 5) has no address: the bridge above the device has no window of `size`
    /// bytes for those of all VFs.
    Memory {
        /// The BAR.
        bar: usize,
        /// Bytes, for TotalVFs VFs.
        size: u64,
    },
    /// The last VF would be on bus `needed`, and the bridge above the device has buses up to
    /// `last`.
    Buses {
        /// A bus number.
        needed: u32,
        /// A bus number.
        last: u32,
    },
}

impl NoRoom {
    /// What the bus lacks for `count` VFs of `dev`, a physical function. `None` if it lacks nothing.
    pub fn find(dev: &Device<Bound>, count: u16) -> Option<Self> {
        unassigned_bar(dev).or_else(|| missing_bus(dev, count))
    }
}

fn unassigned_bar(dev: &Device<Bound>) -> Option<NoRoom> {
    const FIRST: usize = bindings::PCI_IOV_RESOURCES as usize;
    const LAST: usize = bindings::PCI_IOV_RESOURCE_END as usize;

    (FIRST..=LAST).find_map(|index| {
        // SAFETY: `as_raw` is valid. Resources of a bound device are not assigned anew.
        let resource = unsafe { &(&(*as_raw(dev)).resource)[index] };
        let is_memory = resource.flags & bindings::IORESOURCE_MEM as c_ulong != 0;
        (is_memory && resource.parent.is_null()).then(|| NoRoom::Memory {
            bar: index.wrapping_sub(FIRST),
            size: resource.end.wrapping_sub(resource.start).wrapping_add(1),
        })
    })
}

fn missing_bus(dev: &Device<Bound>, count: u16) -> Option<NoRoom> {
    // SAFETY: `as_raw` is valid.
    let (cap, bus, devfn) = unsafe {
        let cap =
            bindings::pci_find_ext_capability(as_raw(dev), bindings::PCI_EXT_CAP_ID_SRIOV as c_int);
        (cap, &*(*as_raw(dev)).bus, (*as_raw(dev)).devfn)
    };
    if cap == 0 {
        return None;
    }
    let offset = config_word(dev, u32::from(cap) + bindings::PCI_SRIOV_VF_OFFSET)?;
    let stride = config_word(dev, u32::from(cap) + bindings::PCI_SRIOV_VF_STRIDE)?;
    // Routing ID of the last VF, counted from the bus of the device (SR-IOV, section 9.3.3.8).
    let last_vf = u32::from(stride).saturating_mul(u32::from(count).saturating_sub(1));
    let id = devfn.saturating_add(offset.into()).saturating_add(last_vf);
    let needed = u32::from(bus.number).saturating_add(id >> 8);
    let last = u32::try_from(bus.busn_res.end).ok()?;
    (needed > last).then_some(NoRoom::Buses { needed, last })
}

fn config_word(dev: &Device<Bound>, offset: u32) -> Option<u16> {
    let mut value = 0;
    // SAFETY: `as_raw` is valid.
    let ret = unsafe {
        bindings::pci_read_config_word(as_raw(dev), c_int::try_from(offset).ok()?, &mut value)
    };
    (ret == 0).then_some(value)
}
