// SPDX-License-Identifier: GPL-2.0

//! Listeners for devices that join the PCI bus, before any driver sees them, and for those that
//! leave it, after their drivers have left them.
//!
//! Listeners are called in a context that may sleep, with the lock of PCI rescan and removal held.
//!
//! C header: [`include/linux/device/bus.h`](srctree/include/linux/device/bus.h)

use crate::bindings;
use kernel::{
    error::to_result,
    pci::Device,
    prelude::*,
    types::Opaque, //
};

/// What happens to a device on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// The device has been added: it is visible in sysfs, and no driver has seen it yet.
    Added,
    /// The device is being removed: no driver is bound to it any more, and its configuration
    /// space still answers, unless it was unplugged.
    Removed,
}

/// A listener for devices that join or leave the PCI bus.
///
/// # Examples
///
/// ```
/// # use kernel::{pci::Device, prelude::*, sync::{aref::ARef, atomic::{Atomic, Relaxed}}};
/// # use kernel_ext::pci::{sriov::VirtualFunction, BusEvent, BusListener, Listen};
/// /// Makes the VFs of a physical function ready before a driver sees them.
/// struct Watch {
///     pf: ARef<Device>,
///     ready: Atomic<u32>,
/// }
///
/// impl Listen for Watch {
///     // Called for each device that joins or leaves the bus. The caller holds the locks that
///     // this takes, so a listener must not wait for another thread that adds or removes devices.
///     fn happened(&self, event: BusEvent, dev: &Device) {
///         if dev.index_in(&self.pf).is_some() && event == BusEvent::Added {
///             self.ready.fetch_add(1, Relaxed);
///         }
///     }
/// }
/// ```
pub trait Listen: Send + Sync + 'static {
    /// Notes that something happens to `dev`. Called by the thread that adds or removes `dev`, for
    /// which all others that add or remove PCI devices wait. May sleep.
    fn happened(&self, event: BusEvent, dev: &Device);
}

/// A registered listener, which is called for each PCI device until this is dropped. Dropping it
/// waits for calls that run, so the listener must not drop it itself.
///
/// # Examples
///
/// ```
/// # use kernel::{pci::Device, prelude::*};
/// # use kernel_ext::pci::{BusEvent, BusListener, Listen};
/// struct Watch;
///
/// impl Listen for Watch {
///     fn happened(&self, event: BusEvent, _dev: &Device) {
///         pr_debug!("{event:?}\n");
///     }
/// }
///
/// let listener = BusListener::new(Watch)?;
/// // ... devices come and go ...
///
/// // Waits for a call of `happened` that runs, so no lock may be held that this takes.
/// drop(listener);
/// # Ok::<(), Error>(())
/// ```
pub struct BusListener<T: Listen>(Pin<KBox<Block<T>>>);

/// The notifier block and its listener.
#[pin_data]
#[repr(C)]
struct Block<T> {
    #[pin]
    nb: Opaque<bindings::notifier_block>,
    listener: T,
}

// SAFETY: The block is the kernel's, which has locks for it; `T` is `Send` and `Sync`.
unsafe impl<T: Listen> Send for Block<T> {}
// SAFETY: As above.
unsafe impl<T: Listen> Sync for Block<T> {}

impl<T: Listen> BusListener<T> {
    /// Registers `listener`, which is called from now on. `ENOMEM` without memory.
    pub fn new(listener: T) -> Result<Self> {
        let block = KBox::pin_init(
            pin_init!(Block {
                nb: Opaque::new(bindings::notifier_block {
                    notifier_call: Some(callback::<T>),
                    ..Default::default()
                }),
                listener,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The block stays where it is until it is unregistered, by `drop`.
        to_result(unsafe {
            bindings::bus_register_notifier(&raw const bindings::pci_bus_type, block.nb.get())
        })?;
        Ok(Self(block))
    }
}

impl<T: Listen> Drop for BusListener<T> {
    fn drop(&mut self) {
        // SAFETY: `new` registered it. Waits for callbacks that run.
        unsafe {
            bindings::bus_unregister_notifier(&raw const bindings::pci_bus_type, self.0.nb.get())
        };
    }
}

/// # Safety
///
/// Only called by the PCI bus, with the block of a [`BusListener<T>`].
unsafe extern "C" fn callback<T: Listen>(
    nb: *mut bindings::notifier_block,
    action: c_ulong,
    data: *mut c_void,
) -> c_int {
    const ADDED: c_ulong = bindings::bus_notifier_event_BUS_NOTIFY_ADD_DEVICE as c_ulong;
    const REMOVED: c_ulong = bindings::bus_notifier_event_BUS_NOTIFY_DEL_DEVICE as c_ulong;
    /// Nothing that happens here stops what is happening to the device.
    const OK: c_int = bindings::EXT_NOTIFY_OK as c_int;

    let event = match action {
        ADDED => BusEvent::Added,
        // The PCI core releases the driver before it deletes the device.
        REMOVED => BusEvent::Removed,
        _ => return OK,
    };
    // SAFETY: `nb` is the first field of a `Block<T>`, which lives until it is unregistered.
    let block = unsafe { &*nb.cast::<Block<T>>() };
    // SAFETY: The bus tells of valid devices only.
    let dev = unsafe { kernel::device::Device::from_raw(data.cast()) };
    // Every device on the PCI bus is a PCI device.
    if let Ok(dev) = <&Device>::try_from(dev) {
        block.listener.happened(event, dev);
    }
    OK
}
