// SPDX-License-Identifier: GPL-2.0

//! NUMA nodes: which CPUs are next to which memory. Nodes are numbers; a machine that is not NUMA
//! has node 0 only.
//!
//! Can be asked in any context.
//!
//! C headers: [`include/linux/topology.h`](srctree/include/linux/topology.h),
//! [`include/linux/nodemask.h`](srctree/include/linux/nodemask.h)

use crate::bindings;
use kernel::ffi::c_int;

/// Returns the node of this CPU. The caller may run on another one by the time that it is used.
#[inline]
pub fn current_node() -> c_int {
    // SAFETY: Reads a variable of this CPU, whichever it is.
    unsafe { bindings::ext_numa_node_id() }
}

/// Returns the nodes that have CPUs online.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// # use kernel_ext::numa::{current_node, nodes_with_cpus};
/// /// Creates a counter for each node.
/// fn counters() -> Result<KVec<(i32, KBox<u64>)>> {
///     let mut all = KVec::new();
///     for node in nodes_with_cpus() {
///         all.push((node, KBox::new(0, GFP_KERNEL)?), GFP_KERNEL)?;
///     }
///     Ok(all)
/// }
///
/// /// Returns the counter of this CPU's node. There is none if the first CPU of the node has come
/// /// online later.
/// fn counter(all: &mut [(i32, KBox<u64>)]) -> Option<&mut u64> {
///     let here = current_node();
///     let (_, counter) = all.iter_mut().find(|(node, _)| *node == here)?;
///     Some(&mut **counter)
/// }
/// ```
pub fn nodes_with_cpus() -> impl Iterator<Item = c_int> {
    // SAFETY: Reads what does not change after boot.
    let end = unsafe { bindings::ext_nr_node_ids() };
    // SAFETY: The node is below the number of ids.
    (0..end as c_int).filter(|&node| unsafe { bindings::ext_node_has_cpus(node) })
}
