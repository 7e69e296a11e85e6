// SPDX-License-Identifier: GPL-2.0

//! The lock of PCI rescan and removal, under which VFs come and go.
//!
//! Both it and device locks sleep. The removal of a device takes this lock, then the device's lock,
//! and no code may take them in the other order. A callback that has the device lock lets another
//! thread take this lock, and does not wait for that thread if the device is being removed
//! ([`RescanLocked::for_unbind`]). The PCI core itself breaks the rule, in `sriov_numvfs`.

use super::{
    super::{
        as_raw,
        DeviceLocked, //
    },
    PhysicalFunction, //
};
use crate::{
    bindings,
    sync::Completion,
    workqueue::Spawner, //
};
use core::ptr::NonNull;
use kernel::{
    device::{
        Core,
        DeviceContext, //
    },
    pci::Device,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        msecs_to_jiffies,
        Delta, //
    },
    types::NotThreadSafe, //
};

/// How long to wait before looking again whether a lock is free, or still needed.
const STEP_MS: u32 = 10;

/// Proof that the lock of PCI rescan and removal is held, by this thread or on its behalf.
///
/// VFs may be added and removed only under it.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Core, pci::Device};
/// # use kernel_ext::{pci::sriov::{PhysicalFunction, RescanLocked}, workqueue::Spawner};
/// /// Called by unbind, for which the PCI core may hold the lock or not.
/// fn unbind(dev: &Device<Core<'_>>, spawner: &Spawner) {
///     // Without VFs, nothing is called.
///     let pf: &Device = dev;
///     RescanLocked::for_unbind(dev, spawner, |lock| pf.disable_vfs(lock));
/// }
///
/// /// Called by a work item, which holds neither lock. A holder of the device lock who has to wait
/// /// for the work item makes `wanted` return false first.
/// fn disable(pf: &Device, wanted: impl Fn() -> bool) {
///     if let Some((lock, _device_lock)) = RescanLocked::lock_with(pf, wanted) {
///         pf.disable_vfs(&lock);
///     }
/// }
/// ```
pub struct RescanLocked {
    taken: bool,
    _not_send: NotThreadSafe,
}

impl RescanLocked {
    /// Takes the lock. It is not recursive: a caller that holds it already deadlocks. So may one
    /// that holds a device lock, see the head of this module.
    fn lock() -> Self {
        // SAFETY: Only takes a mutex.
        unsafe { bindings::pci_lock_rescan_remove() };
        Self {
            taken: true,
            _not_send: NotThreadSafe,
        }
    }

    /// Takes the lock, and then that of `dev`; the first is not held while it waits for the second.
    /// The caller must hold neither. `None` once `wanted` returns `false`.
    pub fn lock_with(dev: &Device, wanted: impl Fn() -> bool) -> Option<(Self, DeviceLocked)> {
        while wanted() {
            let lock = Self::lock();
            if let Some(dev) = DeviceLocked::try_lock(dev) {
                return Some((lock, dev));
            }
            drop(lock);
            fsleep(Delta::from_millis(STEP_MS.into()));
        }
        None
    }

    /// Calls `f` with the lock, while `dev` is being unbound, if it has VFs. If the driver alone is taken away
    /// (`unbind` in sysfs, rmmod), another thread takes the lock and calls `f`. If the PCI core
    /// removes the device, it holds the lock already, and this thread calls `f`.
    ///
    /// The PCI core clears its "added" mark on a device when it begins to remove it, with the
    /// lock held, and before it waits for the device lock. A device that is new has no mark yet, and
    /// may be bound: it has no VFs, as [`EnableVfs`](super::EnableVfs) refuses it.
    pub fn for_unbind(dev: &Device<Core<'_>>, spawner: &Spawner, f: impl Fn(&Self) + Sync) {
        if dev.enabled_vfs() == 0 {
            return;
        }
        if !is_added(dev) {
            // SAFETY: The device has VFs, so it had the mark. The removal that cleared it holds the
            // lock until the driver is gone.
            return f(&unsafe { Self::assume() });
        }
        let call: &(dyn Fn(&Self) + Sync) = &f;
        // SAFETY: The lifetime ends with this call, and so does the use: `Errand` sees to it that
        // `call` is not called any more.
        let call = unsafe {
            core::mem::transmute::<NonNull<dyn Fn(&Self) + Sync + '_>, NonNull<Call>>(
                NonNull::from(call),
            )
        };
        let errand = loop {
            match Errand::start(spawner, call) {
                Ok(errand) => break errand,
                // The function cannot be left with VFs, and has no other way to be rid of them.
                Err(_) => fsleep(Delta::from_millis(STEP_MS.into())),
            }
        };
        while errand
            .done
            .wait_io_timeout(msecs_to_jiffies(STEP_MS))
            .is_none()
        {
            if !is_added(dev) && errand.give_up() {
                // SAFETY: As above; the removal waits for the device lock, which the caller holds.
                let lock = unsafe { Self::assume() };
                // The PCI core asserts that this very thread has the lock.
                // SAFETY: Only about the current task; undone below.
                unsafe { bindings::ext_lockdep_off() };
                f(&lock);
                // SAFETY: As above.
                unsafe { bindings::ext_lockdep_on() };
                return;
            }
        }
    }

    /// Creates the proof that another thread holds the lock, and waits for this one.
    ///
    /// # Safety
    ///
    /// The lock must be held for as long as the value lives.
    pub(in crate::pci) unsafe fn assume() -> Self {
        Self {
            taken: false,
            _not_send: NotThreadSafe,
        }
    }
}

impl Drop for RescanLocked {
    fn drop(&mut self) {
        if self.taken {
            // SAFETY: `lock` took it, in this thread.
            unsafe { bindings::pci_unlock_rescan_remove() };
        }
    }
}

/// Returns whether `dev` is on the bus, and its removal has not begun.
pub(super) fn is_added<Ctx: DeviceContext>(dev: &Device<Ctx>) -> bool {
    // SAFETY: `as_raw` is valid; the flags are changed by atomic bit operations only.
    let flags = unsafe { core::ptr::read_volatile(&raw const (*as_raw(dev)).priv_flags) };
    flags & 1 << bindings::EXT_PCI_DEV_ADDED != 0
}

/// What another thread is to call under the lock.
type Call = dyn Fn(&RescanLocked) + Sync;

/// A call in another thread, which may be given up until it begins.
#[pin_data]
struct Errand {
    /// Whether the call has begun, or was given up.
    settled: Atomic<bool>,
    /// Signalled when the call is over.
    #[pin]
    done: Completion,
}

/// A pointer that another thread may use.
struct Shared(NonNull<Call>);

// SAFETY: What it points to is `Sync`.
unsafe impl Send for Shared {}

impl Errand {
    /// Starts a thread that calls `call` under the lock, unless [`Errand::give_up`] comes first.
    fn start(spawner: &Spawner, call: NonNull<Call>) -> Result<Arc<Self>> {
        let errand = Arc::pin_init(
            pin_init!(Self {
                settled: Atomic::new(false),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        let (theirs, call) = (errand.clone(), Shared(call));
        spawner.spawn(move || {
            let call: Shared = call;
            let lock = RescanLocked::lock();
            if !theirs.settled.xchg(true, Full) {
                // SAFETY: Whoever started this waits for `done` from now on, and keeps the closure.
                unsafe { call.0.as_ref()(&lock) };
                drop(lock);
                theirs.done.complete();
            }
        })?;
        Ok(errand)
    }

    /// Prevents the call. Returns `false` if it has begun.
    fn give_up(&self) -> bool {
        !self.settled.xchg(true, Full)
    }
}
