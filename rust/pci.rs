// SPDX-License-Identifier: GPL-2.0

//! PCI: driver callbacks beyond probe and unbind, SR-IOV, interrupts, bus notifications, BARs,
//! memory for peer-to-peer DMA.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

use crate::bindings;
use kernel::{
    device::DeviceContext,
    pci::Device, //
};

mod bar;
mod bound;
mod driver;
mod id;
pub mod irq;
mod lock;
mod notifier;
mod p2p;
mod power;
mod registered;
mod room;
pub mod sriov;

pub use self::{
    bar::{
        BarMapping,
        BusAddress,
        Doorbell,
        Regions, //
    },
    bound::{
        BoundGuard,
        BoundLock, //
    },
    driver::{
        Adapter,
        ChannelState,
        Driver,
        Recovery, //
    },
    id::device_id,
    lock::DeviceLocked,
    notifier::{
        BusEvent,
        BusListener,
        Listen, //
    },
    p2p::{
        P2pMemory,
        P2pPool, //
    },
    power::{
        DeviceEnabled,
        DeviceExt,
        FunctionReset,
        SystemSleep, //
    },
    registered::Registered,
    room::NoRoom, //
};

/// Returns the C structure behind `dev`.
fn as_raw<Ctx: DeviceContext>(dev: &Device<Ctx>) -> *mut bindings::pci_dev {
    // CAST: `Device` is `repr(transparent)` over `Opaque<pci_dev>`.
    core::ptr::from_ref(dev).cast_mut().cast()
}
