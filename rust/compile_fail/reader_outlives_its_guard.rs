// SPDX-License-Identifier: GPL-2.0

//! Nobody reads under RCU after the lock was given back.
// error: E0505

use kernel::sync::rcu;
use kernel_ext::{
    nvme::{
        CompletionRing,
        Transport, //
    },
    sync::rcu::Reader, //
};

pub fn late<T: Transport>(ring: &mut CompletionRing<T>) -> bool {
    let guard = rcu::read_lock();
    let mut entries = ring.entries(Reader::from(&guard));
    drop(guard);
    entries.next().is_some()
}
