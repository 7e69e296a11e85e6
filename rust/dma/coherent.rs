// SPDX-License-Identifier: GPL-2.0

//! Coherent memory of the `kernel` crate, for owners that may outlive the time that the device is
//! bound.

use crate::binding::Binding;
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    alloc::Flags,
    device::{
        Bound,
        Device, //
    },
    dma::{
        self,
        Attrs,
        CoherentIoBackend,
        CoherentView, //
    },
    io::IoBase,
    prelude::*,
    ptr::KnownSize,
    sync::Arc,
    transmute::{
        AsBytes,
        FromBytes, //
    }, //
};

/// A [`dma::Coherent`] for which the end of the device's unbinding waits.
///
/// # Examples
///
/// ```
/// # use kernel::{device::{Bound, Device}, io::io_write, prelude::*};
/// # use kernel_ext::dma::Coherent;
/// /// A ring of the device's. It may be dropped at any time: until then, the device stays bound.
/// struct Ring {
///     entries: Coherent<[u32]>,
/// }
///
/// impl Ring {
///     fn new(dev: &Device<Bound>) -> Result<Self> {
///         let entries = Coherent::zeroed_slice(dev, 64, GFP_KERNEL)?;
///         dev_dbg!(dev, "ring at {:#x}\n", entries.dma_address());
///         Ok(Self { entries })
///     }
///
///     fn put(&self, index: usize, value: u32) -> Result {
///         io_write!(self.entries, [try: index], value);
///         Ok(())
///     }
/// }
/// ```
pub struct Coherent<T: KnownSize + ?Sized> {
    memory: dma::Coherent<T>,
    /// The last field: the memory is freed before the device may be unbound.
    _binding: Binding,
}

impl<T: AsBytes + FromBytes> Coherent<[T]> {
    /// Allocates `len` entries for `dev`, all zero. Sleeps if `flags` say so, and with the first
    /// memory of `dev`. `EINVAL` for none, `ENOMEM` without memory.
    pub fn zeroed_slice(dev: &Device<Bound>, len: usize, flags: Flags) -> Result<Self> {
        let binding = Binding::of(dev)?;
        Ok(Self {
            memory: dma::Coherent::zeroed_slice(dev, len, flags)?,
            _binding: binding,
        })
    }

    /// Allocates memory for `dev` that has a copy of `data`. Otherwise as
    /// [`Coherent::zeroed_slice`].
    pub fn from_slice(dev: &Device<Bound>, data: &[T], flags: Flags) -> Result<Self>
    where
        T: Copy,
    {
        let binding = Binding::of(dev)?;
        Ok(Self {
            memory: dma::Coherent::from_slice(dev, data, flags)?,
            _binding: binding,
        })
    }

    /// Writes entry `index`; the device may be looking at it. `EINVAL` if there is no such entry.
    ///
    /// Copies once, from where `value` is, in as few words as there can be.
    #[inline]
    pub fn write_entry(&mut self, index: usize, value: &T) -> Result {
        const {
            assert!(size_of::<T>() % size_of::<u64>() == 0);
            assert!(align_of::<T>() >= align_of::<u64>());
        }
        let entries = self.memory.as_mut_ptr();
        if index >= entries.len() {
            return Err(EINVAL);
        }
        let from = core::ptr::from_ref(value).cast::<u64>();
        // SAFETY: There is such an entry, by the check.
        let to = unsafe { entries.cast::<T>().add(index) }.cast::<u64>();
        for word in 0..size_of::<T>() / size_of::<u64>() {
            // SAFETY: Both are as large as a `T`, and aligned for words; any bytes are a word, and a
            // `T`. Volatile, so that the device may access them meanwhile.
            unsafe { to.add(word).write_volatile(from.add(word).read()) };
        }
        Ok(())
    }
}

impl<T: KnownSize + ?Sized> Deref for Coherent<T> {
    type Target = dma::Coherent<T>;

    #[inline]
    fn deref(&self) -> &dma::Coherent<T> {
        &self.memory
    }
}

impl<'a, T: ?Sized + KnownSize> IoBase<'a> for &'a Coherent<T> {
    type Backend = CoherentIoBackend;
    type Target = T;

    #[inline]
    fn as_view(self) -> CoherentView<'a, T> {
        self.memory.as_view()
    }
}

/// A word of [`Coherent`] memory, whose place is looked up once: no access checks an index.
///
/// # Examples
///
/// ```
/// # use kernel::{device::{Bound, Device}, prelude::*, sync::Arc};
/// # use kernel_ext::dma::{Coherent, CoherentWord};
/// /// Returns the word in which the device counts what it has done.
/// fn counter(dev: &Device<Bound>) -> Result<CoherentWord> {
///     let counters = Arc::new(Coherent::<[u32]>::zeroed_slice(dev, 64, GFP_KERNEL)?, GFP_KERNEL)?;
///     assert!(counters.word(64).is_err());
///     counters.word(2)
/// }
/// ```
///
/// # Invariants
///
/// `place` points to an entry of `memory`.
pub struct CoherentWord {
    place: NonNull<u32>,
    _memory: Arc<Coherent<[u32]>>,
}

// SAFETY: The memory may be accessed from any thread, and be freed by any.
unsafe impl Send for CoherentWord {}

// SAFETY: Each access is of one aligned word, and volatile.
unsafe impl Sync for CoherentWord {}

impl Coherent<[u32]> {
    /// Returns entry `index`. `EINVAL` if there is no such entry.
    pub fn word(self: &Arc<Self>, index: usize) -> Result<CoherentWord> {
        let entries = self.memory.as_mut_ptr();
        if index >= entries.len() {
            return Err(EINVAL);
        }
        // SAFETY: There is such an entry, by the check.
        let place = unsafe { entries.cast::<u32>().add(index) };
        // INVARIANT: As above.
        Ok(CoherentWord {
            place: NonNull::new(place).ok_or(EINVAL)?,
            _memory: self.clone(),
        })
    }
}

impl CoherentWord {
    /// Reads the word; the device may be writing it. Any context.
    #[inline]
    pub fn read(&self) -> u32 {
        // SAFETY: By the invariant, and the memory lives as long as the reference to it. Volatile, so
        // that the device and other threads may access it meanwhile.
        unsafe { self.place.read_volatile() }
    }

    /// Writes the word; the device may be looking at it. Any context.
    #[inline]
    pub fn write(&self, value: u32) {
        // SAFETY: As in `read`.
        unsafe { self.place.write_volatile(value) }
    }
}

/// A [`dma::CoherentHandle`] for which the end of the device's unbinding waits.
///
/// # Examples
///
/// ```
/// # use kernel::{device::{Bound, Device}, dma::attrs::DMA_ATTR_NO_WARN, prelude::*, sizes::SZ_1M};
/// # use kernel_ext::dma::CoherentHandle;
/// /// Allocates memory that the device uses for itself. Until it is dropped, the device stays bound.
/// fn lend(dev: &Device<Bound>) -> Result<CoherentHandle> {
///     CoherentHandle::alloc_with_attrs(dev, SZ_1M, GFP_KERNEL, DMA_ATTR_NO_WARN)
/// }
/// ```
pub struct CoherentHandle {
    memory: dma::CoherentHandle,
    /// The last field: the memory is freed before the device may be unbound.
    _binding: Binding,
}

impl CoherentHandle {
    /// Allocates `size` bytes for `dev`, to which the CPU has no access. Sleeps if `flags` say so, and
    /// with the first memory of `dev`. `EINVAL` for none, `ENOMEM` without memory.
    pub fn alloc_with_attrs(
        dev: &Device<Bound>,
        size: usize,
        flags: Flags,
        attrs: Attrs,
    ) -> Result<Self> {
        let binding = Binding::of(dev)?;
        Ok(Self {
            memory: dma::CoherentHandle::alloc_with_attrs(dev, size, flags, attrs)?,
            _binding: binding,
        })
    }
}

impl Deref for CoherentHandle {
    type Target = dma::CoherentHandle;

    fn deref(&self) -> &dma::CoherentHandle {
        &self.memory
    }
}
