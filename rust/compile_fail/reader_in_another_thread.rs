// SPDX-License-Identifier: GPL-2.0

//! That one thread reads under RCU says nothing of another one.
// error: E0277

use kernel_ext::sync::rcu::Reader;

fn give<T: Send>(_: T) {}

pub fn send(reader: Reader<'_>) {
    give(reader);
}
