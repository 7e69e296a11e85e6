// SPDX-License-Identifier: GPL-2.0

//! Interrupt vectors, spread over the CPUs if wanted, and state that belongs to an interrupt
//! handler.
//!
//! Allocating, registering and freeing sleep. A handler runs in hard interrupt context or in a
//! thread of its own, does not sleep in either, and takes no lock of this module.
//!
//! C headers: [`include/linux/pci.h`](srctree/include/linux/pci.h),
//! [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h)

use super::as_raw;
use crate::{
    binding::{
        Binding,
        Claim,
        Exclusive, //
    },
    bindings,
    sync::rcu::Reader, //
};
use core::{
    cell::UnsafeCell,
    pin::Pin,
    ptr::null_mut, //
};
use kernel::{
    device::Bound,
    error::to_result,
    irq::IrqReturn,
    new_mutex,
    pci::Device,
    prelude::*,
    str::CStr,
    sync::{
        aref::ARef,
        rcu,
        Arc,
        Mutex, //
    }, //
};

/// The kinds of interrupts that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// MSI-X before MSI before INTx.
    Any,
    /// MSI-X before INTx.
    NotMsi,
}

impl Kinds {
    fn to_raw(self) -> c_uint {
        match self {
            Self::Any => bindings::PCI_IRQ_ALL_TYPES,
            Self::NotMsi => bindings::PCI_IRQ_ALL_TYPES & !bindings::PCI_IRQ_MSI,
        }
    }
}

/// A device's interrupt vectors; freed when the last reference is dropped, and with the last
/// interrupt that is registered. The end of the device's unbinding waits for that.
///
/// A device has one set of vectors at a time, and the PCI core frees whatever it has: so there is
/// one value of a device at a time, too.
///
/// # Examples
///
/// ```
/// # use kernel::{device::Bound, pci::Device, prelude::*, sync::Arc};
/// # use kernel_ext::pci::irq::{Kinds, Sets, Vectors};
/// /// Allocates a vector for the device's events, and up to `queues` for its queues: a set for
/// /// those that write, and one for those that read.
/// fn vectors(dev: &Device<Bound>, queues: u32) -> Result<Arc<Vectors>> {
///     Vectors::alloc_sets(dev, Kinds::Any, 1, 1 + queues, 1, |count| {
///         // There may be fewer than were asked for, even none.
///         let reads = count / 2;
///         let mut sets = Sets::default();
///         sets[0] = count - reads;
///         sets[1] = reads;
///         sets
///     })
/// }
/// ```
///
/// # Invariants
///
/// `dev` is bound, and has `len` vectors, which are this value's.
pub struct Vectors {
    dev: ARef<Device>,
    len: u32,
    /// The last field: the vectors are freed before others may be allocated.
    _claim: Claim,
}

impl Vectors {
    /// Allocates between `min` and `max` vectors of one of `kinds`. The administrator sets their
    /// affinity.
    ///
    /// `ENOSPC` if the device has fewer than `min`, `EBUSY` if it has a [`Vectors`] already.
    pub fn alloc(dev: &Device<Bound>, kinds: Kinds, min: u32, max: u32) -> Result<Arc<Vectors>> {
        // SAFETY: Null is no affinity.
        unsafe { Self::alloc_raw(dev, kinds.to_raw(), min, max, null_mut()) }
    }

    /// Allocates vectors like [`Vectors::alloc`]. Those after the first `pre_vectors` are divided
    /// into sets, each of which is spread over all CPUs; the kernel manages their affinity. `sets`
    /// is called with the number of vectors to divide, perhaps several times, and returns the
    /// sizes; sizes beyond that number are cut.
    ///
    /// The errors of [`Vectors::alloc`], and `EINVAL` if `pre_vectors` is 0: if the only interrupt is INTx, the PCI core then forgets
    /// what it has allocated for its affinity.
    pub fn alloc_sets<F: FnMut(u32) -> Sets>(
        dev: &Device<Bound>,
        kinds: Kinds,
        min: u32,
        max: u32,
        pre_vectors: u32,
        mut sets: F,
    ) -> Result<Arc<Vectors>> {
        if pre_vectors == 0 {
            return Err(EINVAL);
        }
        let mut affinity = bindings::irq_affinity {
            pre_vectors,
            calc_sets: Some(sets_callback::<F>),
            priv_: (&raw mut sets).cast(),
            ..Default::default()
        };
        let flags = kinds.to_raw() | bindings::PCI_IRQ_AFFINITY;
        // SAFETY: The callback gets `affinity`, and by it `sets`; both live during the call.
        unsafe { Self::alloc_raw(dev, flags, min, max, &mut affinity) }
    }

    /// # Safety
    ///
    /// `affinity` is null, or its callback may be called with it during the call.
    unsafe fn alloc_raw(
        dev: &Device<Bound>,
        flags: c_uint,
        min: u32,
        max: u32,
        affinity: *mut bindings::irq_affinity,
    ) -> Result<Arc<Vectors>> {
        let claim = Binding::of(dev.as_ref())?.claim(Exclusive::Vectors)?;
        // SAFETY: `as_raw` is valid; by the contract of this function, so is `affinity`. No other
        // value has vectors of the device, as this one has the claim.
        let ret = unsafe {
            bindings::pci_alloc_irq_vectors_affinity(as_raw(dev), min, max, flags, affinity)
        };
        to_result(ret)?;
        // INVARIANT: Just allocated, and bound as long as there is the claim.
        let vectors = Vectors {
            dev: dev.into(),
            len: ret.unsigned_abs(),
            _claim: claim,
        };
        Ok(Arc::new(vectors, GFP_KERNEL)?)
    }

    /// Returns the device.
    pub(crate) fn device(&self) -> &Device {
        &self.dev
    }

    /// Returns the number of vectors, at least one.
    pub fn count(&self) -> u32 {
        self.len
    }
}

/// The sizes of sets of vectors.
pub type Sets = [u32; bindings::IRQ_AFFINITY_MAX_SETS as usize];

/// # Safety
///
/// Only called by the interrupt core, with the `irq_affinity` of a call of [`Vectors::alloc_sets`]
/// with an `F` that is under way.
unsafe extern "C" fn sets_callback<F: FnMut(u32) -> Sets>(
    affinity: *mut bindings::irq_affinity,
    vectors: c_uint,
) {
    // SAFETY: By the contract of this function; `alloc_sets` has set `priv_`, and does not touch
    // what it points to.
    let (affinity, sets) = unsafe { (&mut *affinity, &mut *(*affinity).priv_.cast::<F>()) };
    let mut left = vectors;
    affinity.nr_sets = 0;
    for size in sets(vectors) {
        let size = size.min(left);
        if size > 0 {
            affinity.set_size[affinity.nr_sets as usize] = size;
            affinity.nr_sets = affinity.nr_sets.wrapping_add(1);
        }
        left = left.wrapping_sub(size);
    }
}

impl Drop for Vectors {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Every handler holds a reference while it is registered, so
        // none is.
        unsafe { bindings::pci_free_irq_vectors(as_raw(&self.dev)) }
    }
}

/// The state of an interrupt handler, and the handler.
///
/// # Examples
///
/// ```
/// # use kernel::{irq::IrqReturn, prelude::*, sync::Arc};
/// # use kernel_ext::{
/// #     pci::irq::{Handler, IrqCell, Vectors},
/// #     sync::rcu::Reader,
/// # };
/// /// The completion queue of a device.
/// struct Queue {
///     head: u16,
/// }
///
/// impl Queue {
///     fn reap(&mut self) -> u16 {
///         let found = 0;
///         // ... reads entries from `head` on ...
///         self.head = self.head.wrapping_add(found);
///         found
///     }
/// }
///
/// impl Handler for Queue {
///     // In hard interrupt context, or in the interrupt's thread: must not sleep.
///     fn handle(&mut self, _rcu: Reader<'_>) -> IrqReturn {
///         match self.reap() {
///             0 => IrqReturn::None,
///             _ => IrqReturn::Handled,
///         }
///     }
/// }
/// ```
pub trait Handler: Send + 'static {
    /// Handles the interrupt, in hard interrupt context or in the interrupt's thread; an RCU
    /// read-side section in both, so it must not sleep. Does not run while another call of it, or
    /// [`IrqCell::with`], runs.
    fn handle(&mut self, rcu: Reader<'_>) -> IrqReturn;
}

/// State that an interrupt handler owns: `&mut` in the handler without any lock, and `&mut`
/// elsewhere with the interrupt disabled. Instead of an interrupt it may have callers that poll, of
/// which one at a time owns it.
///
/// # Examples
///
/// ```
/// # use kernel::{irq::IrqReturn, prelude::*, sync::Arc};
/// # use kernel_ext::{
/// #     pci::irq::{Handler, IrqCell, Vectors},
/// #     sync::rcu::Reader,
/// # };
/// # struct Queue { head: u16 }
/// # impl Queue { fn reap(&mut self) -> u16 { self.head } }
/// # impl Handler for Queue {
/// #     fn handle(&mut self, _: Reader<'_>) -> IrqReturn { self.reap(); IrqReturn::Handled }
/// # }
/// /// Creates a queue that vector 1 serves.
/// fn start(vectors: &Arc<Vectors>) -> Result<IrqCell<Queue>> {
///     let cell = IrqCell::new(Queue { head: 0 })?;
///     // The cell holds `vectors` from now on: they are freed after the interrupt.
///     cell.request(vectors, 1, c"example-q1", false)?;
///     Ok(cell)
/// }
///
/// /// Looks for a completion whose interrupt was lost, when a command has timed out. Sleeps: the
/// /// handler takes no lock, so its interrupt is disabled meanwhile.
/// fn timed_out(cell: &IrqCell<Queue>) -> bool {
///     cell.with(|queue| queue.reap() > 0)
/// }
/// ```
pub struct IrqCell<H: Handler> {
    inner: Pin<KBox<Inner<H>>>,
}

#[pin_data]
struct Inner<H: Handler> {
    /// Accessed by the handler, or by whoever holds `source` with the interrupt disabled, or
    /// without one.
    handler: UnsafeCell<H>,
    /// Who calls the handler. Taken before any lock of the handler's own.
    #[pin]
    source: Mutex<Source>,
}

/// Who calls a handler.
enum Source {
    /// Nobody.
    None,
    /// An interrupt.
    Line(Line),
    /// Callers of [`IrqCell::poll`].
    Polled,
}

impl Source {
    fn line(&self) -> Option<&Line> {
        match self {
            Source::Line(line) => Some(line),
            _ => None,
        }
    }
}

/// A registered interrupt.
struct Line {
    vectors: Arc<Vectors>,
    index: u32,
    irq: u32,
}

// SAFETY: `handler` is reached by one context at a time, see `Inner::handler`, and is `Send`.
unsafe impl<H: Handler> Sync for IrqCell<H> {}

impl<H: Handler> IrqCell<H> {
    /// Creates the cell, with no interrupt yet.
    pub fn new(handler: H) -> Result<Self> {
        let inner = KBox::pin_init(
            pin_init!(Inner {
                handler: UnsafeCell::new(handler),
                source <- new_mutex!(Source::None, "IrqCell::source"),
            }),
            GFP_KERNEL,
        )?;
        Ok(Self { inner })
    }

    /// Registers the handler for vector `index`, as `name` in `/proc/interrupts`. If `threaded`,
    /// it runs in a kernel thread of that name, and the interrupt only wakes that up.
    ///
    /// `EBUSY` if it is registered or polled already, or if it is threaded and shares its interrupt
    /// with a device's handler that is not; `EINVAL` if there is no such vector.
    pub fn request(
        &self,
        vectors: &Arc<Vectors>,
        index: u32,
        name: &CStr,
        threaded: bool,
    ) -> Result {
        let mut source = self.inner.source.lock();
        if !matches!(*source, Source::None) {
            return Err(EBUSY);
        }
        let dev = as_raw(&vectors.dev);
        // SAFETY: `dev` is valid and has its vectors, as `vectors` is alive.
        let irq = unsafe { bindings::pci_irq_vector(dev, index) };
        let irq = u32::try_from(irq).map_err(|_| EINVAL)?;
        // The state cannot be looked at beside the thread to find out whether the interrupt is the
        // device's. So there is no function of ours for hard interrupt context, and the kernel
        // keeps a level-triggered interrupt masked until the thread is done with it.
        let (handler, thread): (bindings::irq_handler_t, bindings::irq_handler_t) = if threaded {
            (None, Some(thread_callback::<H>))
        } else if cfg!(CONFIG_PREEMPT_RT) {
            // The kernel makes threads of handlers, in which interrupts are on.
            (Some(thread_callback::<H>), None)
        } else {
            // Handlers run with interrupts off, those that the parameter `threadirqs` makes threads
            // of, too (`irq_forced_thread_fn()`).
            (Some(handle_callback::<H>), None)
        };
        // SAFETY: `inner` is pinned on the heap and freed only after `free`, see `drop`; if the
        // cell is leaked, it stays. `name` is copied by the callee.
        to_result(unsafe {
            bindings::pci_request_irq(
                dev,
                index,
                handler,
                thread,
                self.dev_id(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        *source = Source::Line(Line {
            vectors: vectors.clone(),
            index,
            irq,
        });
        Ok(())
    }

    /// Lets [`IrqCell::poll`] reach the state from now on. `EBUSY` if it does already, or if the
    /// handler is registered.
    pub fn start_polling(&self) -> Result {
        let mut source = self.inner.source.lock();
        if !matches!(*source, Source::None) {
            return Err(EBUSY);
        }
        *source = Source::Polled;
        Ok(())
    }

    /// Runs `f` on the state, if the state is polled and no other caller has it. Does not wait;
    /// must not be called in interrupt context.
    pub fn poll<R>(&self, f: impl FnOnce(&mut H) -> R) -> Option<R> {
        let source = self.inner.source.try_lock()?;
        match *source {
            // SAFETY: There is no interrupt, and other callers of this and of `with` need `source`.
            Source::Polled => Some(f(unsafe { &mut *self.inner.handler.get() })),
            _ => None,
        }
    }

    /// Returns whether the state is polled, see [`IrqCell::start_polling`]. Sleeps.
    pub fn is_polled(&self) -> bool {
        matches!(*self.inner.source.lock(), Source::Polled)
    }

    /// Unregisters the handler, or ends polling, and waits for those that run. Sleeps.
    pub fn free(&self) {
        let mut source = self.inner.source.lock();
        if let Some(l) = source.line() {
            // SAFETY: `request` registered exactly this.
            unsafe { bindings::pci_free_irq(as_raw(&l.vectors.dev), l.index, self.dev_id()) };
        }
        *source = Source::None;
    }

    /// Runs `f` on the state. The interrupt is disabled meanwhile, and other callers wait. Sleeps;
    /// must not be called in interrupt context.
    pub fn with<R>(&self, f: impl FnOnce(&mut H) -> R) -> R {
        let source = self.inner.source.lock();
        if let Some(l) = source.line() {
            // SAFETY: The interrupt is ours while it is in `source`. Waits for a running handler,
            // and for its thread.
            unsafe { bindings::disable_irq(l.irq) };
        }
        // SAFETY: The handler does not run: its interrupt is disabled or it has none. Other
        // callers of this wait for `source`, and `poll` gives up without it.
        let ret = f(unsafe { &mut *self.inner.handler.get() });
        if let Some(l) = source.line() {
            // SAFETY: Balances the call above.
            unsafe { bindings::enable_irq(l.irq) };
        }
        ret
    }

    fn dev_id(&self) -> *mut c_void {
        core::ptr::from_ref(&*self.inner).cast_mut().cast()
    }
}

impl<H: Handler> Drop for IrqCell<H> {
    fn drop(&mut self) {
        self.free();
    }
}

/// # Safety
///
/// Only called for an interrupt that [`IrqCell::request`] has registered, with interrupts off, or with
/// the RCU lock held.
unsafe extern "C" fn handle_callback<H: Handler>(
    _irq: c_int,
    dev_id: *mut c_void,
) -> bindings::irqreturn_t {
    // SAFETY: By the contract of this function; `handle` does not keep the value, as it does not know
    // for how long it may.
    let rcu = unsafe { Reader::assume() };
    // SAFETY: `dev_id` is the `Inner<H>` that `request` passed, alive until `free`. Only the cell
    // of `handler` is touched here.
    let handler = unsafe { (*dev_id.cast::<Inner<H>>().cast_const()).handler.get() };
    // SAFETY: One handler of a line runs at a time, in interrupt context or in the line's one
    // thread; `with` disables the line first, and `request` and `free` hold the lock that `with`
    // needs.
    let handler = unsafe { &mut *handler };
    bindings::irqreturn(handler.handle(rcu) as c_uint)
}

/// # Safety
///
/// Only called by the interrupt core, for an interrupt that [`IrqCell::request`] has registered.
unsafe extern "C" fn thread_callback<H: Handler>(
    irq: c_int,
    dev_id: *mut c_void,
) -> bindings::irqreturn_t {
    let _rcu = rcu::read_lock();
    // SAFETY: By the contract of this function, and as the lock is held.
    unsafe { handle_callback::<H>(irq, dev_id) }
}
