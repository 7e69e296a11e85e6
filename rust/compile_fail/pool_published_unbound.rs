// SPDX-License-Identifier: GPL-2.0

//! A device that may not be bound, or not as it was, has no pool that can be published.
// error: E0061

use kernel_ext::pci::P2pPool;

pub fn publish(pool: &P2pPool) {
    let _ = pool.publish();
}
