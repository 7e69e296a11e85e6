// SPDX-License-Identifier: GPL-2.0

//! Memory BARs whose mapping may outlive the time that the driver is bound to the device.
//!
//! Claiming and mapping sleep, as do unmapping and releasing; registers are accessed in any
//! context.

use super::as_raw;
use crate::bindings;
use kernel::{
    device::Bound,
    error::to_result,
    io::{
        Io,
        IoBase,
        Mmio,
        MmioBackend,
        MmioRaw,
        Region, //
    },
    pci::Device,
    prelude::*,
    str::CStr,
    sync::Arc, //
};

/// The claim of a device's memory BARs; released when dropped.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Bound, io::Io, pci::Device, prelude::*, sync::Arc};
/// # use kernel_ext::pci::{BarMapping, Doorbell, Regions};
/// /// How much of BAR 0 is used.
/// const SIZE: usize = 0x2000;
///
/// /// Where the device is told how far a queue is filled.
/// const DOORBELL: usize = 0x1000;
///
/// /// Belongs to a file that user space may hold open when the device is gone.
/// struct Registers {
///     mapping: Arc<BarMapping<SIZE>>,
///     doorbell: Doorbell<SIZE>,
/// }
///
/// /// The claim ends with the device, as its lifetime says; what is mapped may outlive it.
/// fn map<'bound>(dev: &'bound Device<Bound>) -> Result<(Regions<'bound>, Registers)> {
///     let regions = Regions::request(dev, c"example")?;
///     let mapping = regions.map::<SIZE>(0)?;
///     let doorbell = mapping.doorbell(DOORBELL)?;
///     Ok((regions, Registers { mapping, doorbell }))
/// }
///
/// impl Registers {
///     /// Checks no bounds: the offset is known to be below `SIZE` when this is compiled, and the
///     /// doorbell's was checked when it was made.
///     fn submit(&self, tail: u32) -> Result {
///         // All ones are what is read from a device that is gone.
///         if self.mapping.read32(0x1c) == u32::MAX {
///             return Err(ENODEV);
///         }
///         self.doorbell.ring(tail);
///         Ok(())
///     }
/// }
/// ```
pub struct Regions<'bound> {
    dev: &'bound Device<Bound>,
    bars: i32,
}

impl<'bound> Regions<'bound> {
    /// Claims all memory BARs of `dev` in `/proc/iomem` under `name`.
    ///
    /// `EBUSY` if a BAR is claimed already.
    pub fn request(dev: &'bound Device<Bound>, name: &'static CStr) -> Result<Self> {
        // SAFETY: `as_raw` is valid.
        let bars =
            unsafe { bindings::pci_select_bars(as_raw(dev), bindings::IORESOURCE_MEM as c_ulong) };
        // SAFETY: `as_raw` is valid; `name` lives forever, as resources keep the pointer.
        to_result(unsafe {
            bindings::pci_request_selected_regions(as_raw(dev), bars, name.as_char_ptr())
        })?;
        Ok(Self { dev, bars })
    }

    /// Maps BAR `bar`, which must be at least `SIZE` bytes long.
    ///
    /// `ENODEV` if the BAR is missing, shorter or not in memory space, `ENOMEM` if it cannot be
    /// mapped.
    pub fn map<const SIZE: usize>(&self, bar: u32) -> Result<Arc<BarMapping<SIZE>>> {
        let start = self.dev.resource_start(bar)?;
        let len = usize::try_from(self.dev.resource_len(bar)?)?;
        let claimed = self.bars.checked_shr(bar).is_some_and(|bars| bars & 1 != 0);
        if !claimed || start == 0 || len < SIZE {
            return Err(ENODEV);
        }
        // SAFETY: The range is the device's BAR in memory space, claimed by `self`.
        let addr = unsafe { bindings::ioremap(start, len) };
        if addr.is_null() {
            return Err(ENOMEM);
        }
        let raw = MmioRaw::new_region(addr as usize, len).inspect_err(|_| {
            // SAFETY: `addr` was mapped above and nobody has seen it.
            unsafe { bindings::iounmap(addr) }
        })?;
        // INVARIANT: `raw` is the range mapped above.
        let mapping = BarMapping { raw };
        Ok(Arc::new(mapping, GFP_KERNEL)?)
    }
}

impl Drop for Regions<'_> {
    fn drop(&mut self) {
        // SAFETY: These are the BARs that `request` claimed.
        unsafe { bindings::pci_release_selected_regions(as_raw(self.dev), self.bars) }
    }
}

/// The addresses of a function's BARs on its bus, which may differ from those for the CPU.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Bound, pci::Device, prelude::*};
/// # use kernel_ext::pci::BusAddress;
/// /// Returns the address that the device itself, or a peer of it, uses for a buffer in BAR 2. A
/// /// bridge may translate, so this need not be the address in `/proc/iomem`.
/// fn buffer_address(dev: &Device<Bound>, offset: u64) -> Result<u64> {
///     dev.bus_address(2)?.checked_add(offset).ok_or(EINVAL)
/// }
/// ```
pub trait BusAddress {
    /// Returns the bus address of BAR `bar`. `EINVAL` unless `bar` is 0 to 5.
    fn bus_address(&self, bar: u32) -> Result<u64>;
}

impl BusAddress for Device<Bound> {
    fn bus_address(&self, bar: u32) -> Result<u64> {
        if bar >= bindings::PCI_STD_NUM_BARS {
            return Err(EINVAL);
        }
        // SAFETY: `as_raw` is valid, and so is the number of the BAR.
        Ok(unsafe { bindings::ext_pci_bus_address(as_raw(self), c_int::try_from(bar)?) })
    }
}

/// A mapped memory BAR, unmapped when dropped.
///
/// Unlike `kernel::pci::Bar` it is not tied to the time that the device is bound: objects that
/// user space can hold open past it, such as a controller's character device, may own one. An
/// access after the device is gone reads all ones, as any access to a missing PCI device.
///
/// # Invariants
///
/// `raw` is mapped until the value is dropped.
pub struct BarMapping<const SIZE: usize> {
    raw: MmioRaw<Region<SIZE>>,
}

impl<const SIZE: usize> BarMapping<SIZE> {
    /// Returns the length of the BAR in bytes.
    pub fn len(&self) -> usize {
        self.as_view().size()
    }

    /// Returns whether the BAR has no bytes. It has some, as [`Regions::map`] refuses an empty one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads 64 bits at `offset` as two 32-bit reads, the lower first, for devices that know no
    /// wider access.
    pub fn read64_lo_hi(&self, offset: usize) -> Result<u64> {
        let lo = self.try_read32(offset)?;
        let hi = self.try_read32(offset.checked_add(4).ok_or(EINVAL)?)?;
        Ok(u64::from(hi) << 32 | u64::from(lo))
    }

    /// Writes 64 bits at `offset` as two 32-bit writes, the lower first.
    pub fn write64_lo_hi(&self, value: u64, offset: usize) -> Result {
        let high = offset.checked_add(4).ok_or(EINVAL)?;
        self.try_write32(value as u32, offset)?;
        self.try_write32((value >> 32) as u32, high)
    }

    /// Creates a register of 32 bits at `offset`, whose bounds are checked once, here. `EINVAL` if
    /// it is not aligned, or beyond the end.
    pub fn doorbell(self: &Arc<Self>, offset: usize) -> Result<Doorbell<SIZE>> {
        let end = offset.checked_add(4).ok_or(EINVAL)?;
        if end > self.len() || offset % 4 != 0 {
            return Err(EINVAL);
        }
        // INVARIANT: Checked above.
        Ok(Doorbell {
            _mapping: self.clone(),
            addr: self.raw.addr() + offset,
        })
    }
}

impl<const SIZE: usize> Drop for BarMapping<SIZE> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nobody borrows the mapping any more.
        unsafe { bindings::iounmap(self.raw.addr() as *mut c_void) }
    }
}

impl<'a, const SIZE: usize> IoBase<'a> for &'a BarMapping<SIZE> {
    type Backend = MmioBackend;
    type Target = Region<SIZE>;

    fn as_view(self) -> Mmio<'a, Region<SIZE>> {
        // SAFETY: By the type invariant the range stays mapped while `self` is borrowed.
        unsafe { Mmio::from_raw(self.raw) }
    }
}

/// A 32-bit register whose bounds have been checked.
///
/// # Invariants
///
/// `addr` is the aligned address of four bytes within `_mapping`, which keeps them mapped.
pub struct Doorbell<const SIZE: usize> {
    _mapping: Arc<BarMapping<SIZE>>,
    addr: usize,
}

impl<const SIZE: usize> Doorbell<SIZE> {
    /// Writes `value`, after all earlier writes to memory (`writel`).
    #[inline]
    pub fn ring(&self, value: u32) {
        // SAFETY: By the type invariant.
        unsafe { bindings::writel(value, self.addr as *mut c_void) }
    }
}
