// SPDX-License-Identifier: GPL-2.0

//! What the bus lacks for VFs: memory for their BARs, or bus numbers.
//!
//! For the message of a driver whose VFs could not be enabled, while it holds the device lock.

use super::{
    as_raw,
    DeviceExt, //
};
use crate::bindings;
use kernel::{
    device::Core,
    pci::Device,
    prelude::*, //
};

/// What the bus lacks. The PCI core answers `ENOMEM` to either.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Core, pci::Device, prelude::*};
/// # use kernel_ext::pci::{sriov::{EnableVfs, RescanLocked}, NoRoom};
/// fn enable(dev: &Device<Core<'_>>, count: u16, lock: &RescanLocked) -> Result {
///     dev.enable_vfs(count, lock).inspect_err(|e| {
///         // Only now: no VF may be enabled when this looks.
///         match NoRoom::find(dev, count) {
///             Some(NoRoom::Memory { bar, size }) => {
///                 dev_err!(dev, "no {size} bytes for VF BAR {bar}\n");
///             }
///             Some(NoRoom::Buses { needed, last }) => {
///                 dev_err!(dev, "no bus {needed}, the last one is {last}\n");
///             }
///             None => dev_err!(dev, "cannot enable {count} VFs: {e:?}\n"),
///         }
///     })
/// }
/// ```
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
    /// Returns what the bus lacks for `count` VFs of `dev`, a physical function whose VFs are not
    /// enabled. `None` if neither memory nor a bus is missing.
    pub fn find(dev: &Device<Core<'_>>, count: u16) -> Option<Self> {
        // SAFETY: `as_raw` is valid.
        let cap = unsafe {
            let id = bindings::PCI_EXT_CAP_ID_SRIOV as c_int;
            bindings::pci_find_ext_capability(as_raw(dev), id)
        };
        let cap = Capability {
            dev,
            offset: c_int::from(cap),
        };
        if cap.offset == 0 {
            return None;
        }
        cap.unassigned_bar().or_else(|| cap.missing_bus(count))
    }
}

/// The SR-IOV capability in the configuration space of a device.
struct Capability<'a> {
    dev: &'a Device,
    offset: c_int,
}

impl Capability<'_> {
    fn unassigned_bar(&self) -> Option<NoRoom> {
        /// The address bits of a BAR for memory.
        const ADDRESS: u32 = !0xf;

        let mut bars = 0..bindings::PCI_SRIOV_NUM_BARS as usize;
        while let Some(bar) = bars.next() {
            let low = bindings::PCI_SRIOV_BAR as usize + 4 * bar;
            let (mask, value) = self.probe(low)?;
            let is_64 = value & bindings::PCI_BASE_ADDRESS_MEM_TYPE_64 != 0;
            let high = if is_64 {
                let _ = bars.next();
                self.probe(low + 4)?.0
            } else {
                u32::MAX
            };
            let exists = is_64 || mask & ADDRESS != 0;
            if exists && !self.is_assigned(bar) {
                let size = (u64::from(high) << 32 | u64::from(mask & ADDRESS)).wrapping_neg();
                let total = u64::from(self.dev.total_vfs());
                return Some(NoRoom::Memory {
                    bar,
                    size: size.saturating_mul(total),
                });
            }
        }
        None
    }

    /// Returns which bits of the VF BAR register at `offset` can be written, and its value. The
    /// register is overwritten for a moment, which is harmless as no VF decodes addresses.
    fn probe(&self, offset: usize) -> Option<(u32, u32)> {
        let value = self.read_dword(offset)?;
        self.write_dword(offset, u32::MAX);
        let mask = self.read_dword(offset);
        self.write_dword(offset, value);
        Some((mask?, value))
    }

    fn is_assigned(&self, bar: usize) -> bool {
        let index = bindings::PCI_IOV_RESOURCES as usize + bar;
        // SAFETY: `as_raw` is valid, and a VF BAR is one of its resources. The PCI core writes the
        // pointer as one word, and not while the device is bound.
        !unsafe { (&raw const (*as_raw(self.dev)).resource[index].parent).read_volatile() }
            .is_null()
    }

    fn missing_bus(&self, count: u16) -> Option<NoRoom> {
        // First VF Offset and VF Stride are next to each other.
        let word = self.read_dword(bindings::PCI_SRIOV_VF_OFFSET as usize)?;
        let (offset, stride) = (word & 0xffff, word >> 16);
        // SAFETY: `as_raw` is valid, and a device is on a bus, whose number stays. Its last bus may
        // change meanwhile, as one word.
        let (bus, devfn, last) = unsafe {
            let dev = as_raw(self.dev);
            let bus = (*dev).bus;
            let last = (&raw const (*bus).busn_res.end).read_volatile();
            ((*bus).number, (*dev).devfn, last)
        };
        // Routing ID of the last VF, counted from the bus of the device (SR-IOV, section 9.3.3.8).
        let last_vf = stride.saturating_mul(u32::from(count).saturating_sub(1));
        let id = devfn.saturating_add(offset).saturating_add(last_vf);
        let needed = u32::from(bus).saturating_add(id >> 8);
        let last = u32::try_from(last).ok()?;
        (needed > last).then_some(NoRoom::Buses { needed, last })
    }

    fn read_dword(&self, offset: usize) -> Option<u32> {
        let offset = self.offset.wrapping_add(offset as c_int);
        let mut value = 0;
        // SAFETY: `as_raw` is valid.
        let ret = unsafe { bindings::pci_read_config_dword(as_raw(self.dev), offset, &mut value) };
        (ret == 0).then_some(value)
    }

    fn write_dword(&self, offset: usize, value: u32) {
        let offset = self.offset.wrapping_add(offset as c_int);
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::pci_write_config_dword(as_raw(self.dev), offset, value) };
    }
}
