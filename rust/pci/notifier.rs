// SPDX-License-Identifier: GPL-2.0

//! Hearing of devices that join the PCI bus, before any driver does, and of those that leave it,
//! after their drivers did.

use crate::bindings;
use kernel::{
    error::to_result,
    pci::Device,
    prelude::*,
    types::Opaque, //
};

/// Listens on the PCI bus for as long as a scope runs.
pub struct BusNotifier;

/// What happens to a device on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusEvent {
    /// The device has been added: it is visible in sysfs, and no driver has seen it yet.
    Added,
    /// The device is being removed: no driver is bound to it any more, and its configuration
    /// space still answers, unless it was unplugged.
    Removed,
}

/// The notifier block and whom it tells.
#[repr(C)]
struct Block<'a> {
    nb: Opaque<bindings::notifier_block>,
    happened: &'a (dyn Fn(BusEvent, &Device) + Sync),
}

impl BusNotifier {
    /// Calls `happened` for every PCI device that is added to the system, or removed from it, while
    /// `scope` runs, in the context of whoever does that, which may be `scope` itself. `happened`
    /// may sleep.
    ///
    /// The listener ends with the call whatever happens, so both closures may borrow.
    pub fn listen<R>(
        happened: &(dyn Fn(BusEvent, &Device) + Sync),
        scope: impl FnOnce() -> R,
    ) -> Result<R> {
        let block = Block {
            nb: Opaque::new(bindings::notifier_block {
                notifier_call: Some(callback),
                ..Default::default()
            }),
            happened,
        };
        // SAFETY: The block stays on this stack frame until it is unregistered below. The kernel
        // is built without unwinding, so `scope` returns or the CPU stops.
        to_result(unsafe {
            bindings::bus_register_notifier(&raw const bindings::pci_bus_type, block.nb.get())
        })?;
        let ret = scope();
        // SAFETY: It was registered above. Waits for callbacks that run.
        unsafe {
            bindings::bus_unregister_notifier(&raw const bindings::pci_bus_type, block.nb.get())
        };
        Ok(ret)
    }
}

extern "C" fn callback(
    nb: *mut bindings::notifier_block,
    action: c_ulong,
    data: *mut c_void,
) -> c_int {
    const ADDED: c_ulong = bindings::bus_notifier_event_BUS_NOTIFY_ADD_DEVICE as c_ulong;
    const REMOVED: c_ulong = bindings::bus_notifier_event_BUS_NOTIFY_DEL_DEVICE as c_ulong;
    /// `NOTIFY_OK`: nothing that happens here stops what is happening to the device.
    const OK: c_int = 1;

    let event = match action {
        ADDED => BusEvent::Added,
        // The PCI core releases the driver before it deletes the device.
        REMOVED => BusEvent::Removed,
        _ => return OK,
    };
    // SAFETY: `nb` is the first field of a `Block` that `listen` keeps alive.
    let block = unsafe { &*nb.cast::<Block<'_>>() };
    // SAFETY: The bus tells of valid devices only.
    let dev = unsafe { kernel::device::Device::from_raw(data.cast()) };
    // Every device on the PCI bus is a PCI device.
    if let Ok(dev) = <&Device>::try_from(dev) {
        (block.happened)(event, dev);
    }
    OK
}
