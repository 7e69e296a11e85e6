// SPDX-License-Identifier: GPL-2.0

//! Workqueues that a module owns, so that their closures have ended when the module is unloaded.
//!
//! Spawning and dropping a queue sleep. Closures run in a thread that holds no lock.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Queue,
        Work,
        WorkItem, //
    },
};

/// A workqueue. Dropping it refuses further closures, and waits for those that were spawned.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// # use kernel_ext::workqueue::OwnedQueue;
/// // Kept by the module: it may be unloaded only when none of its closures runs any more.
/// let queue = OwnedQueue::new(c"example")?;
///
/// // Handed to the module's parts, which may outlive the queue.
/// let spawner = queue.spawner().clone();
/// spawner.spawn(|| pr_info!("in another thread, with no lock held\n"))?;
///
/// // Waits for the closure.
/// drop(queue);
/// assert_eq!(spawner.spawn(|| ()), Err(ENODEV));
/// # Ok::<(), Error>(())
/// ```
pub struct OwnedQueue {
    spawner: Spawner,
}

/// A handle that spawns closures in an [`OwnedQueue`]. It may outlive the queue.
#[derive(Clone)]
pub struct Spawner(Arc<Inner>);

#[pin_data]
struct Inner {
    /// `None` once the queue is dropped. Locked while something is being spawned.
    #[pin]
    queue: Mutex<Option<Raw>>,
}

/// A workqueue that is not destroyed yet.
struct Raw(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues can be used from any thread.
unsafe impl Send for Raw {}

impl OwnedQueue {
    /// Creates a queue that is bound to no CPU and keeps no order: closures run side by side.
    /// `ENOMEM` without memory.
    pub fn new(name: &'static CStr) -> Result<Self> {
        let flags = bindings::wq_flags_WQ_UNBOUND;
        // SAFETY: The format takes one string. `0` is the default for how many may run at once.
        let raw = unsafe {
            bindings::alloc_workqueue_noprof(c"%s".as_char_ptr(), flags, 0, name.as_char_ptr())
        };
        let raw = Raw(NonNull::new(raw).ok_or(ENOMEM)?);
        let inner = Arc::pin_init(
            pin_init!(Inner { queue <- new_mutex!(None, "OwnedQueue") }),
            GFP_KERNEL,
        );
        match inner {
            Ok(inner) => {
                *inner.queue.lock() = Some(raw);
                Ok(Self {
                    spawner: Spawner(inner),
                })
            }
            Err(e) => {
                // SAFETY: Nobody else knows the queue.
                unsafe { bindings::destroy_workqueue(raw.0.as_ptr()) };
                Err(e)
            }
        }
    }

    /// Returns the handle that spawns closures, to be cloned.
    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        let raw = self.spawner.0.queue.lock().take();
        if let Some(Raw(raw)) = raw {
            // SAFETY: `new` made the queue, and nobody can find it any more. Waits for what is in
            // it.
            unsafe { bindings::destroy_workqueue(raw.as_ptr()) };
        }
    }
}

/// A closure that is called once. All closures share one type of work item, as lockdep requires of
/// work items with one lock class.
trait Task: Send {
    fn run(&mut self);
}

impl<F: FnOnce() + Send> Task for Option<F> {
    fn run(&mut self) {
        if let Some(f) = self.take() {
            f();
        }
    }
}

/// A closure and its place in the queue.
#[pin_data]
struct Item {
    #[pin]
    work: Work<Item>,
    task: KBox<dyn Task>,
}

impl_has_work! {
    impl HasWork<Self> for Item { self.work }
}

impl WorkItem for Item {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        this.as_mut().project().task.run();
    }
}

impl Spawner {
    /// Runs `f` soon, in another thread, with no locks held. Sleeps.
    ///
    /// `ENOMEM` without memory, `ENODEV` if the queue is gone.
    pub fn spawn(&self, f: impl FnOnce() + Send + 'static) -> Result {
        self.enqueue(KBox::new(Some(f), GFP_KERNEL)?)
    }

    // Not generic: the lock class has one name.
    fn enqueue(&self, task: KBox<dyn Task>) -> Result {
        let item = KBox::pin_init(
            pin_init!(Item {
                work <- new_work!("Spawner::spawn"),
                task,
            }),
            GFP_KERNEL,
        )?;
        let queue = self.0.queue.lock();
        let raw = queue.as_ref().ok_or(ENODEV)?;
        // SAFETY: The queue is destroyed only after it was taken out of the mutex.
        unsafe { Queue::from_raw(raw.0.as_ptr()) }.enqueue(item);
        Ok(())
    }
}

/// A value that is dropped in another thread, because its destructor may sleep for long.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// # use kernel_ext::workqueue::{DropLater, Spawner};
/// /// Waits for its peer when it is dropped.
/// struct Connection;
///
/// impl Drop for Connection {
///     fn drop(&mut self) {
///         // ...
///     }
/// }
///
/// /// The driver's data of a device, which is dropped with the device lock held.
/// struct Data {
///     connection: DropLater<Connection>,
/// }
///
/// fn data(connection: Connection, spawner: &Spawner) -> Data {
///     Data {
///         connection: DropLater::new(connection, spawner),
///     }
/// }
/// ```
pub struct DropLater<T: Send + 'static> {
    value: ManuallyDrop<T>,
    spawner: Spawner,
}

impl<T: Send + 'static> DropLater<T> {
    /// Wraps `value`, to be dropped by `spawner`. If its queue is gone, or memory is short, `value`
    /// is dropped in place.
    pub fn new(value: T, spawner: &Spawner) -> Self {
        Self {
            value: ManuallyDrop::new(value),
            spawner: spawner.clone(),
        }
    }
}

impl<T: Send + 'static> Deref for DropLater<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Send + 'static> Drop for DropLater<T> {
    fn drop(&mut self) {
        // SAFETY: The value is not used again.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        let _ = self.spawner.spawn(move || drop(value));
    }
}
