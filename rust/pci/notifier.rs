// SPDX-License-Identifier: GPL-2.0

//! Hearing of devices that join the PCI bus, before any driver does.

use crate::bindings;
use kernel::{
    error::to_result,
    pci::Device,
    prelude::*,
    types::Opaque, //
};

/// Listens on the PCI bus for as long as a scope runs.
pub struct BusNotifier;

/// The notifier block and whom it tells.
#[repr(C)]
struct Block<'a> {
    nb: Opaque<bindings::notifier_block>,
    added: &'a (dyn Fn(&Device) + Sync),
}

impl BusNotifier {
    /// Calls `added` for every PCI device that is added to the system while `scope` runs: after
    /// it is visible in sysfs, before it is matched with a driver, in the context of whoever adds
    /// it, which may be `scope` itself. `added` may sleep.
    ///
    /// The listener ends with the call whatever happens, so both closures may borrow.
    pub fn listen<R>(added: &(dyn Fn(&Device) + Sync), scope: impl FnOnce() -> R) -> Result<R> {
        let block = Block {
            nb: Opaque::new(bindings::notifier_block {
                notifier_call: Some(added_callback),
                ..Default::default()
            }),
            added,
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

extern "C" fn added_callback(
    nb: *mut bindings::notifier_block,
    action: c_ulong,
    data: *mut c_void,
) -> c_int {
    if action == bindings::bus_notifier_event_BUS_NOTIFY_ADD_DEVICE as c_ulong {
        // SAFETY: `nb` is the first field of a `Block` that `listen` keeps alive.
        let block = unsafe { &*nb.cast::<Block<'_>>() };
        // SAFETY: The bus tells of valid devices only.
        let dev = unsafe { kernel::device::Device::from_raw(data.cast()) };
        // Every device on the PCI bus is a PCI device.
        if let Ok(dev) = <&Device>::try_from(dev) {
            (block.added)(dev);
        }
    }
    // `NOTIFY_OK`: nothing that happens here stops the device from being added.
    1
}
