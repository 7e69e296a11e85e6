// SPDX-License-Identifier: GPL-2.0

//! Memory in a device's BAR that the device itself and its peers access by DMA.
//!
//! Registering sleeps; the memory is written in any context.
//!
//! C header: [`include/linux/pci-p2pdma.h`](srctree/include/linux/pci-p2pdma.h)

use super::as_raw;
use crate::{
    binding::Binding,
    bindings, //
};
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Core, //
    },
    dma::DmaAddress,
    error::to_result,
    pci::Device,
    prelude::*,
    sync::aref::ARef,
    transmute::AsBytes, //
};

/// A part of a BAR that is registered as memory for peer-to-peer DMA, until the device is unbound.
///
/// It shows as `p2pmem` in the device's folder in sysfs, where user space can allocate from it,
/// too.
///
/// # Examples
///
/// ```
/// # use kernel::{device::{Bound, Core}, pci::Device, prelude::*, sizes::SZ_1M};
/// # use kernel_ext::pci::{P2pMemory, P2pPool};
/// /// Called once in probe: what is registered stays so until the device is unbound.
/// fn register(dev: &Device<Core<'_>>) -> Result<P2pPool> {
///     // The first MiB of BAR 4 is memory.
///     P2pPool::register(dev, 4, SZ_1M, 0)
/// }
///
/// /// Creates a queue in the device's own memory, with one entry. Unbinding the device waits until
/// /// the queue is dropped.
/// fn queue(pool: &P2pPool, dev: &Device<Bound>) -> Result<P2pMemory> {
///     // The pool is of no use for a later binding of the device.
///     let mut queue = pool.alloc(dev, 4096)?;
///     queue.write(0, &[0u8; 64])?;
///     dev_dbg!(dev, "queue at {:#x} on the bus\n", queue.bus_address());
///     Ok(queue)
/// }
/// ```
///
/// # Invariants
///
/// `dev` has a pool of memory in the binding whose id is `binding`.
pub struct P2pPool {
    dev: ARef<Device>,
    binding: u64,
}

impl P2pPool {
    /// Registers `len` bytes from `offset` on of BAR `bar`. They must be memory without side
    /// effects, and nobody else's.
    ///
    /// `EINVAL` if the BAR has no such part or an address that cannot be mapped so, `ENOMEM`
    /// without memory, `EOPNOTSUPP` if the kernel has no peer-to-peer DMA.
    pub fn register(dev: &Device<Core<'_>>, bar: u32, len: usize, offset: u64) -> Result<Self> {
        let end = u64::try_from(len)?.checked_add(offset).ok_or(EINVAL)?;
        // SAFETY: Only tells a number.
        let align = u64::try_from(unsafe { bindings::memremap_compat_align() })?.max(1);
        let start = dev.resource_start(bar)?;
        if len == 0 || end > dev.resource_len(bar)? {
            return Err(EINVAL);
        }
        if u64::try_from(len)? % align != 0 || start.wrapping_add(offset) % align != 0 {
            return Err(EINVAL);
        }
        let bar = c_int::try_from(bar)?;
        let binding = Binding::of(dev.as_ref())?.id();
        // SAFETY: `as_raw` is valid and bound, and its lock is held, as `Core` says. The range is
        // within the BAR.
        to_result(unsafe { bindings::pci_p2pdma_add_resource(as_raw(dev), bar, len, offset) })?;
        let dev: &Device = dev;
        // INVARIANT: Just registered; it stays until the binding ends.
        Ok(Self {
            dev: dev.into(),
            binding,
        })
    }

    /// Returns whether `dev` is the device of the pool, bound as it was when the pool was registered.
    fn is_of(&self, dev: &Device<Bound>) -> bool {
        let binding = Binding::of(dev.as_ref());
        as_raw(dev) == as_raw(&self.dev) && binding.is_ok_and(|now| now.id() == self.binding)
    }

    /// Lets other drivers allocate from the memory. `EINVAL` if `dev` is another device, or has been
    /// bound anew.
    pub fn publish(&self, dev: &Device<Bound>) -> Result {
        if !self.is_of(dev) {
            return Err(EINVAL);
        }
        // SAFETY: `as_raw` is valid.
        unsafe { bindings::pci_p2pmem_publish(as_raw(dev), true) };
        Ok(())
    }

    /// Allocates `len` bytes, in whole pages, not zeroed. Unbinding the device waits until they are
    /// dropped.
    ///
    /// `ENOMEM` if they are not free, `EINVAL` if `dev` is another device, or has been bound anew.
    pub fn alloc(&self, dev: &Device<Bound>, len: usize) -> Result<P2pMemory> {
        let raw = as_raw(dev);
        if !self.is_of(dev) || len == 0 {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant, and as this is the pool's binding, `raw` has a pool.
        let addr = NonNull::new(unsafe { bindings::pci_alloc_p2pmem(raw, len) }).ok_or(ENOMEM)?;
        // SAFETY: As above; `addr` is of its pool.
        let bus = unsafe { bindings::pci_p2pmem_virt_to_bus(raw, addr.as_ptr()) };
        // INVARIANT: Just allocated.
        Ok(P2pMemory {
            dev: self.dev.clone(),
            addr,
            bus,
            len,
        })
    }
}

/// Memory out of a [`P2pPool`].
///
/// # Invariants
///
/// `addr` points to `len` bytes that were allocated from the pool of `dev`, and `bus` is where they
/// are on the bus. The allocation has a reference to the pool's mapping, so both stay until the
/// value is dropped, and the device is not unbound before.
pub struct P2pMemory {
    dev: ARef<Device>,
    addr: NonNull<c_void>,
    bus: DmaAddress,
    len: usize,
}

// SAFETY: The memory belongs to the value, and the pool has its own lock.
unsafe impl Send for P2pMemory {}
// SAFETY: `&P2pMemory` gives no access to the memory.
unsafe impl Sync for P2pMemory {}

impl P2pMemory {
    /// Returns the address of the memory for the device and its peers.
    pub fn bus_address(&self) -> DmaAddress {
        self.bus
    }

    /// Writes `value` at `offset`, in accesses that suit a device's memory. `EINVAL` if that is
    /// beyond the end.
    ///
    /// A register that is written later is written after it.
    #[inline]
    pub fn write<T: AsBytes>(&mut self, offset: usize, value: &T) -> Result {
        let size = size_of::<T>();
        let end = offset.checked_add(size).ok_or(EINVAL)?;
        if end > self.len {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant and the check; `value` is `size` readable bytes, all
        // initialised.
        unsafe {
            bindings::memcpy_toio(
                self.addr.as_ptr().byte_add(offset),
                core::ptr::from_ref(value).cast(),
                size,
            )
        };
        Ok(())
    }
}

impl Drop for P2pMemory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::pci_free_p2pmem(as_raw(&self.dev), self.addr.as_ptr(), self.len) };
    }
}
