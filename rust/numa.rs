// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes: CPUs and the memory next to them, by number. On a machine without there is node 0.
//!
//! C headers: [`include/linux/topology.h`](srctree/include/linux/topology.h),
//! [`include/linux/nodemask.h`](srctree/include/linux/nodemask.h)

use crate::bindings;
use kernel::ffi::c_int;

/// The node of the CPU that runs this. The caller may be on another one when it returns.
#[inline]
pub fn current_node() -> c_int {
    // SAFETY: Reads a variable of this CPU, whichever it is.
    unsafe { bindings::ext_numa_node_id() }
}

/// The nodes that have CPUs online.
pub fn nodes_with_cpus() -> impl Iterator<Item = c_int> {
    // SAFETY: Reads what does not change after boot.
    let end = unsafe { bindings::ext_nr_node_ids() };
    (0..)
        .take(end as usize)
        // SAFETY: The node is below the number of ids.
        .filter(|&node| unsafe { bindings::ext_node_has_cpus(node) })
}
