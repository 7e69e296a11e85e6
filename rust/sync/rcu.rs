// SPDX-License-Identifier: GPL-2.0

//! RCU read-side critical sections, however they began.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::marker::PhantomData;
use kernel::{
    sync::rcu::Guard,
    types::NotThreadSafe, //
};

/// Evidence that the caller is in an RCU read-side critical section, which does not end during
/// `'a`: by [`rcu::read_lock`](kernel::sync::rcu::read_lock), or because interrupts are off.
///
/// # Examples
///
/// ```
/// use kernel::sync::rcu;
/// use kernel_ext::sync::rcu::Reader;
///
/// /// What is read under RCU, by whoever may.
/// struct Shared(u32);
///
/// impl Shared {
///     fn get<'a>(&'a self, _rcu: Reader<'a>) -> &'a u32 {
///         &self.0
///     }
/// }
///
/// // An interrupt handler has a `Reader` already.
/// let guard = rcu::read_lock();
/// assert_eq!(*Shared(1).get(Reader::from(&guard)), 1);
/// ```
///
/// # Invariants
///
/// `synchronize_rcu()`, if it is called during `'a`, returns after `'a`.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    _section: PhantomData<&'a Guard>,
    _here: NotThreadSafe,
}

impl Reader<'_> {
    /// Creates one for a caller that is in a section already.
    ///
    /// # Safety
    ///
    /// During the lifetime of the value interrupts are off on this CPU, or the RCU lock is held.
    #[inline]
    pub(crate) unsafe fn assume() -> Self {
        // INVARIANT: By the contract of this function. `synchronize_rcu()` waits for code with
        // interrupts off as it does for who holds the lock.
        Self {
            _section: PhantomData,
            _here: NotThreadSafe,
        }
    }
}

impl<'a> From<&'a Guard> for Reader<'a> {
    #[inline]
    fn from(_: &'a Guard) -> Self {
        // INVARIANT: There is a guard during `'a`, and by its invariant the lock is held.
        Self {
            _section: PhantomData,
            _here: NotThreadSafe,
        }
    }
}
