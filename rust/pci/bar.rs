// SPDX-License-Identifier: GPL-2.0

//! Memory BARs whose mapping may outlive the time that the driver is bound to the device.
//!
//! Claiming and mapping sleep, as do unmapping and releasing; doorbells are rung in any
//! context.

use super::as_raw;
use crate::{
    binding::Binding,
    bindings, //
};
use kernel::{
    device::Bound,
    devres,
    error::to_result,
    io::{
        Io,
        Mmio,
        MmioRaw,
        Region, //
    },
    new_spinlock,
    pci::Device,
    prelude::*,
    str::CStr,
    sync::{
        aref::ARef,
        Arc,
        SpinLock, //
    }, //
};

/// The claim of a device's memory BARs. It is released when this is dropped, and nothing of a BAR is
/// mapped any more.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Bound, io::Io, pci::Device, prelude::*, sync::Arc};
/// # use kernel_ext::pci::{BarMapping, Doorbell, Regions};
/// /// How much of BAR 0 there is at least.
/// const SIZE: usize = 0x2000;
///
/// /// Where the device is told how far a queue is filled.
/// const DOORBELL: usize = 0x1000;
///
/// /// Belongs to a file that user space may hold open when the device is gone.
/// struct Registers {
///     mapping: Arc<BarMapping<SIZE>>,
/// }
///
/// /// Belongs to what is torn down with the device: unbinding waits for it.
/// struct Queue {
///     doorbell: Doorbell<SIZE>,
/// }
///
/// /// The claim ends with the device, as its lifetime says; the mapping then reads as all ones.
/// fn map<'bound>(dev: &'bound Device<Bound>) -> Result<(Regions<'bound>, Registers, Queue)> {
///     let regions = Regions::request(dev, c"example")?;
///     let mapping = regions.map::<SIZE>(0, SIZE)?;
///     let doorbell = mapping.doorbell(DOORBELL)?;
///     Ok((regions, Registers { mapping }, Queue { doorbell }))
/// }
///
/// impl Registers {
///     /// Checks no bounds: the offset is known to be below `SIZE` when this is compiled.
///     fn is_gone(&self) -> bool {
///         // All ones are what is read from a device that is gone, too.
///         self.mapping.access(|io| io.read32(0x1c)).unwrap_or(u32::MAX) == u32::MAX
///     }
/// }
///
/// impl Queue {
///     /// The bounds were checked when the doorbell was made.
///     fn submit(&self, tail: u32) {
///         self.doorbell.ring(tail);
///     }
/// }
/// ```
pub struct Regions<'bound> {
    dev: &'bound Device<Bound>,
    claim: Arc<Claim>,
}

/// The claim, which mappings share.
///
/// # Invariants
///
/// The BARs of `dev` in the mask `bars` are claimed by this value.
struct Claim {
    dev: ARef<Device>,
    bars: i32,
    /// The last field: the BARs are released before the device may be unbound.
    _binding: Binding,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; the device is still bound.
        unsafe { bindings::pci_release_selected_regions(as_raw(&self.dev), self.bars) }
    }
}

impl<'bound> Regions<'bound> {
    /// Claims all memory BARs of `dev` in `/proc/iomem` under `name`.
    ///
    /// `EBUSY` if a BAR is claimed already.
    pub fn request(dev: &'bound Device<Bound>, name: &'static CStr) -> Result<Self> {
        let binding = Binding::of(dev.as_ref())?;
        // SAFETY: `as_raw` is valid.
        let bars =
            unsafe { bindings::pci_select_bars(as_raw(dev), bindings::IORESOURCE_MEM as c_ulong) };
        // SAFETY: `as_raw` is valid; `name` lives forever, as resources keep the pointer.
        to_result(unsafe {
            bindings::pci_request_selected_regions(as_raw(dev), bars, name.as_char_ptr())
        })?;
        let function: &Device = dev;
        // INVARIANT: Just claimed.
        let claim = Claim {
            dev: function.into(),
            bars,
            _binding: binding,
        };
        Ok(Self {
            dev,
            claim: Arc::new(claim, GFP_KERNEL)?,
        })
    }

    /// Maps the first `len` bytes of BAR `bar`, or all of it if it is shorter. It must be at least
    /// `SIZE` bytes long, and so much is mapped in any case.
    ///
    /// `ENODEV` if the BAR is missing, shorter or not in memory space, `ENOMEM` if it cannot be
    /// mapped.
    pub fn map<const SIZE: usize>(&self, bar: u32, len: usize) -> Result<Arc<BarMapping<SIZE>>> {
        let start = self.dev.resource_start(bar)?;
        let whole = usize::try_from(self.dev.resource_len(bar)?)?;
        let claimed = self
            .claim
            .bars
            .checked_shr(bar)
            .is_some_and(|bars| bars & 1 != 0);
        if !claimed || start == 0 || whole < SIZE {
            return Err(ENODEV);
        }
        let len = whole.min(len.max(SIZE));
        // SAFETY: The range is in the device's BAR in memory space, claimed by `claim`.
        let addr = unsafe { bindings::ioremap(start, len) };
        if addr.is_null() {
            return Err(ENOMEM);
        }
        let raw = MmioRaw::new_region(addr as usize, len).inspect_err(|_| {
            // SAFETY: `addr` was mapped above and nobody has seen it.
            unsafe { bindings::iounmap(addr) }
        })?;
        // INVARIANT: `raw` is the range mapped above.
        let mapped = Mapped {
            raw,
            _claim: self.claim.clone(),
        };
        let mapped = Arc::new(mapped, GFP_KERNEL)?;
        let shared = Arc::pin_init(
            pin_init!(Shared {
                mapped <- new_spinlock!(Some(mapped), "Shared::mapped"),
            }),
            GFP_KERNEL,
        )?;
        let mapping = BarMapping {
            len,
            shared: shared.clone(),
        };
        // Ends the access before the claim's binding is waited for, which is older.
        devres::register(self.dev.as_ref(), Revoke(shared), GFP_KERNEL)?;
        Ok(Arc::new(mapping, GFP_KERNEL)?)
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

/// A range that is mapped.
///
/// # Invariants
///
/// `raw` is mapped until the value is dropped, and claimed.
struct Mapped<const SIZE: usize> {
    raw: MmioRaw<Region<SIZE>>,
    /// Released after the range is unmapped, and keeps the device bound.
    _claim: Arc<Claim>,
}

impl<const SIZE: usize> Drop for Mapped<SIZE> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nobody borrows the mapping any more.
        unsafe { bindings::iounmap(self.raw.addr() as *mut c_void) }
    }
}

/// The range, until the access to it ends. A lock, not RCU: a grace period for each function would make
/// many take seconds to be unbound, and registers are not accessed for each request.
#[pin_data]
struct Shared<const SIZE: usize> {
    #[pin]
    mapped: SpinLock<Option<Arc<Mapped<SIZE>>>>,
}

impl<const SIZE: usize> Shared<SIZE> {
    /// Ends the access. Sleeps, as the range may be unmapped.
    fn end(&self) {
        let mapped = self.mapped.lock().take();
        drop(mapped);
    }
}

/// Ends the access when the device is unbound.
struct Revoke<const SIZE: usize>(Arc<Shared<SIZE>>);

impl<const SIZE: usize> Drop for Revoke<SIZE> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The beginning of a memory BAR, mapped until the device is unbound.
///
/// Unlike `kernel::pci::Bar` it is not tied to the lifetime of the binding: objects that user space
/// can hold open past it, such as a controller's character device, may own one. When the device has
/// been unbound, others may have its addresses: reads then return all ones, as from a device that is
/// missing, and nothing is written.
pub struct BarMapping<const SIZE: usize> {
    len: usize,
    shared: Arc<Shared<SIZE>>,
}

impl<const SIZE: usize> Drop for BarMapping<SIZE> {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl<const SIZE: usize> BarMapping<SIZE> {
    /// Returns the number of bytes that are mapped, at least `SIZE`.
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Calls `f` with the registers, with a spinlock held: it must not sleep, nor use this mapping.
    /// `None` if the device has been unbound. Not in interrupt context.
    #[inline]
    pub fn access<R>(&self, f: impl FnOnce(Mmio<'_, Region<SIZE>>) -> R) -> Option<R> {
        let guard = self.shared.mapped.lock();
        let mapped = guard.as_ref()?;
        // SAFETY: By the type invariant of `Mapped` the range stays mapped while the lock is held, which
        // the lifetime that `f` sees does not exceed.
        Some(f(unsafe { Mmio::from_raw(mapped.raw) }))
    }

    /// Reads 32 bits at `offset`. `EINVAL` if that is not aligned, or beyond the end.
    pub fn read32(&self, offset: usize) -> Result<u32> {
        self.access(|io| io.try_read32(offset))
            .unwrap_or(Ok(u32::MAX))
    }

    /// Writes 32 bits at `offset`. `EINVAL` if that is not aligned, or beyond the end.
    pub fn write32(&self, value: u32, offset: usize) -> Result {
        self.access(|io| io.try_write32(value, offset))
            .unwrap_or(Ok(()))
    }

    /// Reads 64 bits at `offset` as two 32-bit reads, the lower first, for devices that know no
    /// wider access.
    pub fn read64_lo_hi(&self, offset: usize) -> Result<u64> {
        let lo = self.read32(offset)?;
        let hi = self.read32(offset.checked_add(4).ok_or(EINVAL)?)?;
        Ok(u64::from(hi) << 32 | u64::from(lo))
    }

    /// Writes 64 bits at `offset` as two 32-bit writes, the lower first.
    pub fn write64_lo_hi(&self, value: u64, offset: usize) -> Result {
        let high = offset.checked_add(4).ok_or(EINVAL)?;
        self.write32(value as u32, offset)?;
        self.write32((value >> 32) as u32, high)
    }

    /// Creates a register of 32 bits at `offset`, whose bounds are checked once, here. `EINVAL` if
    /// it is not aligned, or beyond the end; `ENODEV` if the device has been unbound.
    pub fn doorbell(&self, offset: usize) -> Result<Doorbell<SIZE>> {
        let mapped = self.shared.mapped.lock().clone().ok_or(ENODEV)?;
        let end = offset.checked_add(4).ok_or(EINVAL)?;
        if end > self.len || offset % 4 != 0 {
            return Err(EINVAL);
        }
        // INVARIANT: Checked above.
        Ok(Doorbell {
            addr: mapped.raw.addr() + offset,
            _mapped: mapped,
        })
    }
}

/// A 32-bit register whose bounds have been checked. The end of the device's unbinding waits until it
/// is dropped.
///
/// # Invariants
///
/// `addr` is the aligned address of four bytes within `_mapped`, which keeps them mapped.
pub struct Doorbell<const SIZE: usize> {
    _mapped: Arc<Mapped<SIZE>>,
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
