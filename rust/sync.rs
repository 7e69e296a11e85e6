// SPDX-License-Identifier: GPL-2.0

//! Completions, which one thread signals and another waits for, with a time limit; evidence for RCU.
//!
//! Signalling works in any context; waiting sleeps.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

pub mod rcu;

use crate::bindings;
use kernel::{
    prelude::*,
    time::Jiffies,
    types::Opaque, //
};

/// A counter of events that one side signals and the other waits for.
///
/// # Examples
///
/// ```
/// use kernel::{
///     prelude::*,
///     sync::Arc,
///     time::msecs_to_jiffies, //
/// };
/// use kernel_ext::sync::Completion;
///
/// // Whoever signals it may outlive whoever waits: share it, as the wait may end first.
/// let answered = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
/// let theirs = answered.clone();
///
/// // In an interrupt handler, say.
/// theirs.complete();
///
/// // In a context that may sleep.
/// if answered.wait_io_timeout(msecs_to_jiffies(500)).is_none() {
///     return Err(ETIMEDOUT);
/// }
/// # Ok::<(), Error>(())
/// ```
#[pin_data]
pub struct Completion {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: The C completion has its own lock.
unsafe impl Send for Completion {}
// SAFETY: As above.
unsafe impl Sync for Completion {}

impl Completion {
    /// Creates a completion without events.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is memory for a completion, and stays where it is.
                unsafe { bindings::init_completion(slot) }
            }),
        })
    }

    /// Signals one event, in any context.
    pub fn complete(&self) {
        // SAFETY: Initialised by `new`.
        unsafe { bindings::complete(self.inner.get()) };
    }

    /// Waits for one event, for at most `limit` jiffies; the time counts as I/O wait. Returns the
    /// rest of `limit`, at least 1, or `None` if no event was signalled. Sleeps.
    pub fn wait_io_timeout(&self, limit: Jiffies) -> Option<Jiffies> {
        // SAFETY: Initialised by `new`.
        match unsafe { bindings::wait_for_completion_io_timeout(self.inner.get(), limit) } {
            0 => None,
            left => Some(left),
        }
    }
}

#[kunit_tests(kernel_ext_sync)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_waited_for_once() -> Result {
        let events = KBox::pin_init(Completion::new(), GFP_KERNEL)?;
        assert_eq!(events.wait_io_timeout(1), None);
        events.complete();
        events.complete();
        // There is no need to wait, so all of the limit is left.
        assert_eq!(events.wait_io_timeout(1000), Some(1000));
        assert_eq!(events.wait_io_timeout(1000), Some(1000));
        assert_eq!(events.wait_io_timeout(1), None);
        Ok(())
    }
}
