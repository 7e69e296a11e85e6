// SPDX-License-Identifier: GPL-2.0

//! An entry is announced to be free when nobody looks at it any more.
// error: E0499

use kernel_ext::{
    nvme::{
        CompletionRing,
        Transport, //
    },
    sync::rcu::Reader, //
};

pub fn early<'ring, T: Transport>(ring: &'ring mut CompletionRing<T>, rcu: Reader<'ring>) -> u16 {
    let entry = ring.entries(rcu).next();
    let _ = ring.announce();
    entry.map_or(0, |entry| entry.completion().status)
}
