// SPDX-License-Identifier: GPL-2.0

//! A registered driver: what physical functions share with their VFs, and a workqueue.
//!
//! Sharing and spawning sleep. The lock of what is shared is taken last, and held for a look only.

use super::{
    as_raw,
    sriov::{
        physfn,
        VirtualFunction, //
    },
    Adapter,
    DeviceLocked,
    Driver, //
};
use crate::{
    bindings,
    workqueue::{
        OwnedQueue,
        Spawner, //
    },
};
use core::{
    mem::{
        offset_of,
        MaybeUninit, //
    },
    pin::Pin, //
};
use kernel::{
    device::Core,
    new_mutex,
    pci::Device,
    prelude::*,
    str::CStr,
    sync::{
        Arc,
        Mutex, //
    },
    types::Opaque, //
};

/// A driver while it is registered, as its callbacks see it.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Core, pci::Device, prelude::*, sync::Arc};
/// # use kernel_ext::pci::{DeviceExt, Driver, Registered};
/// /// What VFs have to know of their physical function.
/// struct Family {
///     limit: u16,
/// }
///
/// /// In probe. A physical function shares its family until it is unbound, with those of its VFs
/// /// that this driver drives.
/// fn join<T: Driver<Shared = Family>>(
///     driver: &Registered<T>,
///     dev: &Device<Core<'_>>,
/// ) -> Result<Option<Arc<Family>>> {
///     if dev.is_physfn() {
///         let limit = dev.total_vfs();
///         driver.share(dev, Arc::new(Family { limit }, GFP_KERNEL)?)?;
///         // Runs without the device lock that probe holds, and is over when the driver is gone.
///         driver.spawn(|_driver| pr_info!("shared\n"))?;
///         return Ok(None);
///     }
///     // `None` for a VF whose physical function has another driver.
///     let found = driver.shared_of(dev);
///     Ok(found.and_then(|(family, vf)| (vf < family.limit).then_some(family)))
/// }
/// ```
#[repr(C)]
pub struct Registered<T: Driver> {
    /// First: the PCI core's pointer to the driver is one to this.
    raw: Opaque<bindings::pci_driver>,
    own: MaybeUninit<Own<T>>,
}

/// What is ours. Initialised by [`Registered::init`].
#[pin_data]
struct Own<T: Driver> {
    /// What each physical function shares, while it is bound.
    #[pin]
    shared: Mutex<KVec<Sharing<T>>>,
    queue: OwnedQueue,
}

/// What a physical function shares.
struct Sharing<T: Driver> {
    /// Its address tells the function; it is bound, so it is there.
    pf: *mut bindings::pci_dev,
    shared: Arc<T::Shared>,
    /// Whether [`Driver::leave`] was called for it.
    is_left: bool,
}

// SAFETY: The pointer is only compared; `T::Shared` is `Send` and `Sync`.
unsafe impl<T: Driver> Send for Sharing<T> {}

impl<T: Driver> Default for Registered<T> {
    fn default() -> Self {
        Self {
            raw: Opaque::zeroed(),
            own: MaybeUninit::uninit(),
        }
    }
}

impl<T: Driver> Registered<T> {
    pub(super) const DEVICE_DRIVER_OFFSET: usize =
        offset_of!(Self, raw) + offset_of!(bindings::pci_driver, driver);

    /// Initialises a default value.
    ///
    /// # Safety
    ///
    /// `this` is a default value that nobody uses yet, and stays where it is.
    pub(super) unsafe fn init(this: *mut Self, name: &'static CStr) -> Result {
        let init = try_pin_init!(Own::<T> {
            shared <- new_mutex!(KVec::new(), "Registered::shared"),
            queue: OwnedQueue::new(name)?,
        }? Error);
        // SAFETY: By the contract of this function.
        unsafe { pin_init::raw_try_init((&raw mut (*this).own).cast(), init) }
    }

    /// Undoes [`Registered::init`]; waits for what was spawned.
    ///
    /// # Safety
    ///
    /// `this` was initialised, and no device is bound to the driver any more.
    pub(super) unsafe fn exit(this: *mut Self) {
        // SAFETY: By the contract of this function.
        unsafe { (&raw mut (*this).own).cast::<Own<T>>().drop_in_place() };
    }

    /// Returns the driver as the PCI core knows it.
    ///
    /// # Safety
    ///
    /// `this` is valid.
    pub(super) unsafe fn as_raw(this: *mut Self) -> *mut bindings::pci_driver {
        // SAFETY: By the contract of this function.
        unsafe { (&raw mut (*this).raw).cast() }
    }

    /// Returns the driver as the PCI core knows it.
    pub(super) fn raw(&self) -> *const bindings::pci_driver {
        self.raw.get()
    }

    /// Returns the driver of `pdev`.
    ///
    /// # Safety
    ///
    /// `pdev` is valid, and bound to, or being probed by, an [`Adapter`] of `T`, which stays
    /// registered during `'a`.
    pub(super) unsafe fn of<'a>(pdev: *mut bindings::pci_dev) -> &'a Self {
        // SAFETY: By the contract of this function; the structure is the first field of this type.
        unsafe { &*(*pdev).driver.cast::<Self>() }
    }

    fn own(&self) -> &Own<T> {
        // SAFETY: A registered driver is initialised.
        unsafe { self.own.assume_init_ref() }
    }

    /// Returns the driver's own workqueue, which is empty by the time that the driver is
    /// unregistered.
    pub fn spawner(&self) -> &Spawner {
        self.own().queue.spawner()
    }

    /// Runs `f` soon, in another thread, with no locks held. Sleeps. `ENOMEM` without memory.
    pub fn spawn(&self, f: impl FnOnce(&Self) + Send + 'static) -> Result {
        let this = core::ptr::from_ref(self).expose_provenance();
        self.spawner().spawn(move || {
            // SAFETY: `exit` waits for what is in the queue, so the driver is still registered.
            f(unsafe { &*core::ptr::with_exposed_provenance::<Self>(this) });
        })
    }

    /// Shares `shared` with those VFs of `pf` that this driver drives, until `pf` is unbound, or
    /// its probe fails. `EEXIST` if `pf` shares something already, `ENOMEM` without memory.
    pub fn share(&self, pf: &Device<Core<'_>>, shared: Arc<T::Shared>) -> Result {
        let pf = as_raw(pf);
        let mut all = self.own().shared.lock();
        if all.iter().any(|sharing| core::ptr::eq(sharing.pf, pf)) {
            return Err(EEXIST);
        }
        let is_left = false;
        all.push(
            Sharing {
                pf,
                shared,
                is_left,
            },
            GFP_KERNEL,
        )?;
        Ok(())
    }

    /// Undoes [`Registered::share`], if `pf` shares anything.
    pub(super) fn end_sharing(&self, pf: &Device<Core<'_>>) {
        let pf = as_raw(pf);
        let mut all = self.own().shared.lock();
        let found = all.iter().position(|sharing| core::ptr::eq(sharing.pf, pf));
        let removed = found.and_then(|index| all.remove(index).ok());
        drop(all);
        drop(removed);
    }

    /// Returns what the physical function of `vf` shares, and the number of the VF, from 0. `None`
    /// if `vf` is no VF, or its physical function shares nothing.
    pub fn shared_of(&self, vf: &Device<Core<'_>>) -> Option<(Arc<T::Shared>, u16)> {
        let pf = physfn(vf)?;
        let index = vf.index_in(pf)?;
        let all = self.own().shared.lock();
        let sharing = all
            .iter()
            .find(|sharing| core::ptr::eq(sharing.pf, as_raw(pf)))?;
        Some((sharing.shared.clone(), index))
    }

    /// Calls [`Driver::leave`] for each physical function that shares something.
    pub(super) fn leave_all(&self) {
        // Others may come and go meanwhile.
        while let Some(shared) = self.next_to_leave() {
            T::leave(self, &shared);
        }
    }

    fn next_to_leave(&self) -> Option<Arc<T::Shared>> {
        let mut all = self.own().shared.lock();
        let sharing = all.iter_mut().find(|sharing| !sharing.is_left)?;
        sharing.is_left = true;
        Some(sharing.shared.clone())
    }

    /// Calls `f` with the locked device and the driver's data of it. `None` if the device is bound
    /// to another driver, or to none.
    pub fn with_bound<R>(
        &self,
        dev: &DeviceLocked,
        f: impl for<'a> FnOnce(&'a Device<Core<'a>>, Pin<&'a T::Data<'a>>) -> R,
    ) -> Option<R> {
        Adapter::<T>::with_locked(self, dev, f)
    }
}
