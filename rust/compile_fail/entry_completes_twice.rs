// SPDX-License-Identifier: GPL-2.0

//! A completion queue entry completes one command, once: by the second time, another one may have
//! its identifier.
// error: E0382

use kernel_ext::{
    nvme::{
        CompletionBatch,
        CompletionRing,
        Transport, //
    },
    sync::rcu::Reader, //
};

pub fn twice<T: Transport>(ring: &mut CompletionRing<T>, rcu: Reader<'_>) {
    let mut batch = CompletionBatch::new();
    for entry in ring.entries(rcu) {
        let _ = entry.complete(&mut batch.collect());
        let _ = entry.complete(&mut batch.collect());
    }
}
