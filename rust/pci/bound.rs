// SPDX-License-Identifier: GPL-2.0

//! A lock that gives a bound device to code that no driver callback covers.

use super::{
    as_raw,
    from_raw, //
};
use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    device,
    new_mutex,
    pci::Device,
    prelude::*,
    sync::{
        aref::ARef,
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Arc,
        Mutex, //
    }, //
};

/// A mutex over what a driver holds of a bound device: its interrupts, its DMA memory.
///
/// While the guard lives, the device cannot be unbound, so the guard also hands out the
/// [`Device<Bound>`](device::Bound). Unbinding waits for the guard, drops the contents, and
/// leaves a lock that answers `ENODEV`. Work items, block layer callbacks and whatever else runs
/// without the device lock reach the device through this.
#[pin_data]
pub struct BoundLock<S> {
    dev: ARef<Device>,
    #[pin]
    state: Mutex<Option<S>>,
}

impl<S: Default + Send + Unpin> BoundLock<S> {
    /// Creates the lock of `dev` with default contents.
    pub(super) fn new(dev: &Device<device::Core<'_>>) -> Result<Arc<Self>> {
        let dev: &Device<device::Bound> = dev;
        Arc::pin_init(
            pin_init!(Self {
                dev: dev.into(),
                state <- new_mutex!(Some(S::default()), "BoundLock::state"),
            }),
            GFP_KERNEL,
        )
    }
}

impl<S: Unpin> BoundLock<S> {
    /// Locks the device; sleeps. `ENODEV` once the device is unbound.
    pub fn lock(&self) -> Result<BoundGuard<'_, S>> {
        BoundGuard::new(&self.dev, self.state.lock())
    }

    /// Locks the device if nobody holds it: `EBUSY` if somebody does, `ENODEV` once it is unbound.
    pub fn try_lock(&self) -> Result<BoundGuard<'_, S>> {
        BoundGuard::new(&self.dev, self.state.try_lock().ok_or(EBUSY)?)
    }

    /// Waits for the holder, drops the contents, and refuses everybody from now on.
    pub(super) fn revoke(&self) {
        let mut state = self.state.lock();
        // The contents must be gone before the device is: drop them under the lock.
        *state = None;
    }
}

/// The device, held bound, and the contents of its [`BoundLock`].
///
/// # Invariants
///
/// `guard` holds `Some`, and the device stays bound while the guard lives: `revoke`, which the
/// adapter calls before the device is unbound, waits for it.
pub struct BoundGuard<'a, S> {
    dev: &'a Device<device::Bound>,
    guard: Guard<'a, Option<S>, MutexBackend>,
    _s: PhantomData<S>,
}

impl<'a, S: Unpin> BoundGuard<'a, S> {
    fn new(dev: &'a Device, guard: Guard<'a, Option<S>, MutexBackend>) -> Result<Self> {
        if guard.is_none() {
            return Err(ENODEV);
        }
        // SAFETY: The lock is created while the device is being probed and revoked before it is
        // unbound; it is not revoked yet, as the contents are there, and cannot be while `guard`
        // lives.
        let dev = unsafe { from_raw(as_raw(dev)) };
        // INVARIANT: Checked and argued above.
        Ok(Self {
            dev,
            guard,
            _s: PhantomData,
        })
    }

    /// Splits the guard into the device and the contents.
    pub fn split(&mut self) -> (&Device<device::Bound>, &mut S) {
        let dev = self.dev;
        (dev, &mut **self)
    }
}

impl<S: Unpin> Deref for BoundGuard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        match &*self.guard {
            Some(state) => state,
            // SAFETY: By the type invariant.
            None => unsafe { core::hint::unreachable_unchecked() },
        }
    }
}

impl<S: Unpin> DerefMut for BoundGuard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        match &mut *self.guard {
            Some(state) => state,
            // SAFETY: By the type invariant.
            None => unsafe { core::hint::unreachable_unchecked() },
        }
    }
}
