// SPDX-License-Identifier: GPL-2.0

//! PCI: driver callbacks beyond probe and unbind, SR-IOV, interrupts, bus notifications, BARs,
//! memory for peer-to-peer DMA.
//!
//! Each module's head says in which context it is used. Locks of this module are taken in this
//! order: PCI rescan and removal ([`sriov::RescanLocked`]), the device ([`DeviceLocked`], and all
//! callbacks of [`Driver`]), the [`BoundLock`], the lock of an [`irq::IrqCell`].
//!
//! [`Driver`], [`Adapter`] and [`Registered`] use each other, as a trait and the handles in its
//! signatures do. Uses [`sync`](crate::sync) and [`workqueue`](crate::workqueue).
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

use crate::layout::{
    pci_dev as as_raw,
    pci_dev_from_raw as from_raw, //
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
        Stopped,
        SystemSleep, //
    },
    registered::Registered,
    room::NoRoom, //
};
