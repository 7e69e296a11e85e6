// SPDX-License-Identifier: GPL-2.0

//! A lock that gives a bound device to code that runs outside the callbacks of its driver.
//!
//! The lock sleeps. It is taken after the device lock, if both are.

use super::{
    as_raw,
    from_raw, //
};
use crate::binding::Binding;
use core::ops::{
    Deref,
    DerefMut, //
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
/// [`Device<Bound>`](device::Bound). Unbinding waits for the guard, drops the state, leaves a
/// default one in its place, and has the lock answer `ENODEV`. Work items, callbacks of the block
/// layer, and all other code that runs without the device lock reach the device through this.
///
/// The lock sleeps. The device lock may be held when it is taken, and must not be taken while it
/// is held: unbinding takes them in that order.
///
/// # Examples
///
/// ```
/// # use kernel::{prelude::*, sync::Arc};
/// # use kernel_ext::pci::{irq::{Kinds, Vectors}, BoundLock, DeviceEnabled};
/// /// What the driver holds of the device. Fields are dropped in this order: the interrupts, then
/// /// the device that sends them.
/// #[derive(Default)]
/// struct Hardware {
///     vectors: Option<Arc<Vectors>>,
///     enabled: Option<DeviceEnabled>,
/// }
///
/// /// Starts the device again, in a work item: the device may be unbound meanwhile.
/// fn restart(bound: &BoundLock<Hardware>) -> Result {
///     // Fails once the device is unbound. Until `hw` is dropped, it stays bound.
///     let mut hw = bound.lock()?;
///     let (pdev, hw) = hw.split();
///     // There is one of each at a time.
///     hw.vectors = None;
///     hw.enabled = None;
///     hw.enabled = Some(DeviceEnabled::new(pdev)?);
///     hw.vectors = Some(Vectors::alloc(pdev, Kinds::Any, 1, 1)?);
///     Ok(())
/// }
/// ```
#[pin_data]
pub struct BoundLock<S> {
    dev: ARef<Device>,
    #[pin]
    contents: Mutex<Contents<S>>,
}

/// What a [`BoundLock`] protects.
///
/// # Invariants
///
/// The device is bound until `is_revoked` is set.
struct Contents<S> {
    data: S,
    is_revoked: bool,
}

impl<S: Default + Send + Unpin> BoundLock<S> {
    /// Creates the lock of `dev` with a default state.
    pub(super) fn new(dev: &Device<device::Core<'_>>) -> Result<Arc<Self>> {
        let dev: &Device<device::Bound> = dev;
        // Found later without memory, as whoever stops the device must not wait for any. And what is
        // added to the device first is what its unbinding waits for last.
        drop(Binding::of(dev.as_ref())?);
        Arc::pin_init(
            pin_init!(Self {
                dev: dev.into(),
                // INVARIANT: The device is being probed; the adapter calls `revoke` before the
                // device is unbound.
                contents <- new_mutex!(
                    Contents {
                        data: S::default(),
                        is_revoked: false,
                    },
                    "BoundLock::contents"
                ),
            }),
            GFP_KERNEL,
        )
    }

    /// Waits for the holder, drops the state, and refuses all callers from now on.
    pub(super) fn revoke(&self) {
        let mut contents = self.contents.lock();
        contents.is_revoked = true;
        // The state must be gone before the device is: drop it under the lock. A default state
        // holds nothing of the device.
        contents.data = S::default();
    }
}

impl<S: Unpin> BoundLock<S> {
    /// Locks the device; sleeps. `ENODEV` once the device is unbound.
    pub fn lock(&self) -> Result<BoundGuard<'_, S>> {
        BoundGuard::new(&self.dev, self.contents.lock())
    }

    /// Locks the device if it is not locked: `EBUSY` if it is, `ENODEV` once it is unbound.
    pub fn try_lock(&self) -> Result<BoundGuard<'_, S>> {
        BoundGuard::new(&self.dev, self.contents.try_lock().ok_or(EBUSY)?)
    }
}

/// A bound device that stays bound, and the state in its [`BoundLock`].
///
/// # Invariants
///
/// The device stays bound while the guard lives: the lock is not revoked, and `revoke`, which the
/// adapter calls before the device is unbound, waits for the guard.
pub struct BoundGuard<'a, S> {
    dev: &'a Device<device::Bound>,
    contents: Guard<'a, Contents<S>, MutexBackend>,
}

impl<'a, S: Unpin> BoundGuard<'a, S> {
    /// Creates the guard of `dev`. `ENODEV` if the lock is revoked.
    fn new(dev: &'a Device, contents: Guard<'a, Contents<S>, MutexBackend>) -> Result<Self> {
        if contents.is_revoked {
            return Err(ENODEV);
        }
        // SAFETY: By the invariants of `Contents`, the device is bound, and `revoke` cannot set the
        // mark while `contents` lives.
        let dev = unsafe { from_raw(as_raw(dev)) };
        // INVARIANT: Checked and argued above.
        Ok(Self { dev, contents })
    }

    /// Splits the guard into the device and the state.
    pub fn split(&mut self) -> (&Device<device::Bound>, &mut S) {
        (self.dev, &mut self.contents.data)
    }
}

impl<S: Unpin> Deref for BoundGuard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.contents.data
    }
}

impl<S: Unpin> DerefMut for BoundGuard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.contents.data
    }
}
