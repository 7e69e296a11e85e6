// SPDX-License-Identifier: GPL-2.0

//! That a device is bound is known while the guard of its `BoundLock` lives, and not after.
// error: E0505

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::pci::{
    irq::{
        Kinds,
        Vectors, //
    },
    BoundLock, //
};

pub fn alloc(bound: &BoundLock<()>) -> Result<Arc<Vectors>> {
    let mut guard = bound.lock()?;
    let (dev, _) = guard.split();
    // The device may be unbound from here on.
    drop(guard);
    Vectors::alloc(dev, Kinds::Any, 1, 1)
}
