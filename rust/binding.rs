// SPDX-License-Identifier: GPL-2.0

//! How long a device is bound to its driver: unbinding waits for what is made of the bound device.
//!
//! Interrupts, DMA memory and the like must be given back while the device is bound, but are often
//! owned by something that may live longer. A lifetime cannot say when they go, and a look before
//! each use would cost too much. So each of them has a [`Binding`], and the end of the unbinding
//! waits until all of these are dropped. One that is leaked keeps the device bound for ever.
//!
//! Finding a binding may sleep; giving it up works in any context. Uses [`sync`](crate::sync).
//!
//! C header: [`include/linux/device/devres.h`](srctree/include/linux/device/devres.h)

use crate::{
    bindings,
    layout::device as as_raw,
    sync::Completion, //
};
use core::mem::ManuallyDrop;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    time::msecs_to_jiffies, //
};

/// How long an unbinding waits between two lines in the log.
const PATIENCE_MS: u32 = 10_000;

/// The id of the next binding.
static NEXT_ID: Atomic<u64> = Atomic::new(0);

/// The time that a device is bound to its driver, which does not end while this value lives.
///
/// # Invariants
///
/// `shared.users` counts this value. It is of a device whose `release` has not returned yet, or is
/// about to wait for this value.
pub(crate) struct Binding {
    shared: Arc<Shared>,
}

/// What all values of one binding have in common.
#[pin_data]
struct Shared {
    id: u64,
    /// How many [`Binding`]s there are, and one more until the device is being unbound.
    users: Atomic<usize>,
    /// Signalled when `users` is 0.
    #[pin]
    unused: Completion,
    /// What of the device only one value at a time may have, see [`Exclusive`].
    taken: [Atomic<bool>; 2],
}

/// What of a device only one value at a time may have.
#[derive(Clone, Copy)]
pub(crate) enum Exclusive {
    /// Its interrupt vectors.
    Vectors = 0,
    /// Whether it can master the bus.
    Mastering = 1,
}

impl Binding {
    /// Returns the present binding of `dev`. `ENOMEM` without memory, which only the first call for
    /// a binding needs. Sleeps then.
    pub(crate) fn of(dev: &Device<Bound>) -> Result<Self> {
        let raw = as_raw(dev);
        // SAFETY: `raw` is valid.
        let mut found =
            unsafe { bindings::devres_find(raw, Some(release), None, core::ptr::null_mut()) };
        if found.is_null() {
            found = Self::add(dev)?;
        }
        // SAFETY: What is added with `release` is such a pointer, see `add`. The device is bound, so
        // `release` has not been called yet, and the count that it owns is there.
        let theirs = ManuallyDrop::new(unsafe { Arc::from_raw(*found.cast::<*const Shared>()) });
        theirs.users.add(1, Relaxed);
        // INVARIANT: Counted above, before `release` could be called.
        Ok(Self {
            shared: Arc::clone(&theirs),
        })
    }

    /// Adds what all values of the binding of `dev` share, unless another thread has; returns where
    /// the pointer to it is. Nothing but this adds anything with `release`.
    fn add(dev: &Device<Bound>) -> Result<*mut c_void> {
        let shared = Arc::pin_init(
            pin_init!(Shared {
                id: NEXT_ID.fetch_add(1, Relaxed),
                users: Atomic::new(1),
                unused <- Completion::new(),
                taken: [Atomic::new(false), Atomic::new(false)],
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: Only allocates.
        let new = unsafe {
            bindings::__devres_alloc_node(
                Some(release),
                size_of::<*const Shared>(),
                bindings::GFP_KERNEL,
                bindings::NUMA_NO_NODE,
                c"Binding".as_char_ptr(),
            )
        };
        if new.is_null() {
            return Err(ENOMEM);
        }
        let shared = Arc::into_raw(shared);
        // SAFETY: `new` has room for a pointer, and nobody else has it yet. The device is valid and
        // bound, so what is added is released before it is unbound.
        let found = unsafe {
            new.cast::<*const Shared>().write(shared);
            bindings::devres_get(as_raw(dev), new, None, core::ptr::null_mut())
        };
        if found != new {
            // SAFETY: Another thread was first, and `new` is freed: the count is this thread's again.
            drop(unsafe { Arc::from_raw(shared) });
        }
        Ok(found)
    }

    /// Returns a number that no other binding has, of any device, at any time.
    pub(crate) fn id(&self) -> u64 {
        self.shared.id
    }

    /// Takes `what` of the device, for as long as the result lives. `EBUSY` if somebody has it.
    pub(crate) fn claim(self, what: Exclusive) -> Result<Claim> {
        if self.shared.taken[what as usize].xchg(true, Full) {
            return Err(EBUSY);
        }
        // INVARIANT: Just taken.
        Ok(Claim {
            binding: self,
            what,
        })
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        if self.shared.users.fetch_sub(1, Full) == 1 {
            // `release` may return from now on; the memory is there as long as `shared`.
            self.shared.unused.complete();
        }
    }
}

/// Called by the driver core while it unbinds the device, after the driver's data is gone.
///
/// # Safety
///
/// `place` is what [`Binding::add`] has added to `dev`. It is not used again.
unsafe extern "C" fn release(dev: *mut bindings::device, place: *mut c_void) {
    // SAFETY: By the contract of this function, which passes the count.
    let shared = unsafe { Arc::from_raw(*place.cast::<*const Shared>()) };
    if shared.users.fetch_sub(1, Full) == 1 {
        return;
    }
    // SAFETY: The driver core calls this for a valid device.
    let dev: &Device = unsafe { Device::from_raw(dev) };
    while shared
        .unused
        .wait_io_timeout(msecs_to_jiffies(PATIENCE_MS))
        .is_none()
    {
        dev_warn!(
            dev,
            "cannot be unbound yet: {} of its resources are in use\n",
            shared.users.load(Relaxed)
        );
    }
}

/// The right to something that only one value at a time may have of a device. Keeps the device
/// bound.
///
/// # Invariants
///
/// `what` is marked as taken in `binding`, and this value has marked it.
pub(crate) struct Claim {
    binding: Binding,
    what: Exclusive,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What was done with the right comes before another has it.
        self.binding.shared.taken[self.what as usize].store(false, Release);
    }
}

#[kunit_tests(kernel_ext_binding)]
mod tests {
    use super::*;
    use kernel::{
        faux,
        time::{
            delay::fsleep,
            Delta, //
        },
        workqueue, //
    };

    fn device(faux: &faux::Registration) -> &Device<Bound> {
        let faux: &faux::Device<Bound> = faux.as_ref();
        faux.as_ref()
    }

    #[test]
    fn a_device_has_one_binding_at_a_time() -> Result {
        let faux = faux::Registration::new(c"kernel_ext_binding", None)?;
        let first = Binding::of(device(&faux))?.id();
        assert_eq!(Binding::of(device(&faux))?.id(), first);
        drop(faux);
        let faux = faux::Registration::new(c"kernel_ext_binding", None)?;
        assert!(Binding::of(device(&faux))?.id() != first);
        Ok(())
    }

    #[test]
    fn unbinding_waits_for_what_is_used() -> Result {
        let faux = faux::Registration::new(c"kernel_ext_binding", None)?;
        let held = Binding::of(device(&faux))?;
        let dropped = Arc::new(Atomic::new(false), GFP_KERNEL)?;
        let note = dropped.clone();
        workqueue::system_unbound().try_spawn(GFP_KERNEL, move || {
            fsleep(Delta::from_millis(100));
            note.store(true, Relaxed);
            drop(held);
        })?;
        drop(faux);
        assert!(dropped.load(Relaxed));
        Ok(())
    }

    #[test]
    fn one_at_a_time_has_what_is_exclusive() -> Result {
        let faux = faux::Registration::new(c"kernel_ext_binding", None)?;
        let claim = |what| Binding::of(device(&faux))?.claim(what);
        let vectors = claim(Exclusive::Vectors)?;
        assert_eq!(claim(Exclusive::Vectors).err(), Some(EBUSY));
        let mastering = claim(Exclusive::Mastering)?;
        drop(vectors);
        assert_eq!(claim(Exclusive::Mastering).err(), Some(EBUSY));
        drop((claim(Exclusive::Vectors)?, mastering));
        Ok(())
    }
}
