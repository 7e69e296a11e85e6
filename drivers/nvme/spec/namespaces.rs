// SPDX-License-Identifier: GPL-2.0

//! Which controller sees which namespace: Namespace Attachment (base specification, section
//! 5.1.20), and whether a namespace exists at all.

use super::admin::IDENTIFY_SIZE;
use kernel::prelude::*;
use kernel_ext::nvme::Command;

/// Namespace Attachment.
const NAMESPACE_ATTACHMENT: u8 = 0x15;

/// Select (dword 10, bits 3:0, of Namespace Attachment).
#[derive(Clone, Copy)]
enum Select {
    Attach = 0,
    Detach = 1,
}

/// Identify: a namespace that is allocated, attached or not (CNS 11h).
pub(crate) const CNS_ALLOCATED_NAMESPACE: u8 = 0x11;

/// Optional Admin Command Support, of Identify Controller: Namespace Management and Attachment.
pub(crate) const OACS_NAMESPACES: u16 = 1 << 3;

/// The identifier that stands for all namespaces.
const BROADCAST: u32 = u32::MAX;

/// Whether a namespace can have this identifier (section 3.2.1.2).
pub(crate) fn is_valid(nsid: u32) -> bool {
    !matches!(nsid, 0 | BROADCAST)
}

fn attachment(nsid: u32, select: Select) -> Command {
    Command::new(NAMESPACE_ATTACHMENT)
        .with_nsid(nsid)
        .with_dword(10, select as u32)
}

/// Attaches namespace `nsid` to the controllers of the list that goes with the command.
pub(crate) fn attach(nsid: u32) -> Command {
    attachment(nsid, Select::Attach)
}

/// Detaches namespace `nsid` from the controllers of the list that goes with the command.
pub(crate) fn detach(nsid: u32) -> Command {
    attachment(nsid, Select::Detach)
}

/// A Controller List (figure 137) with one entry.
pub(crate) fn controller_list(cntlid: u16) -> Result<KVec<u8>> {
    let mut list = KVec::from_elem(0, IDENTIFY_SIZE, GFP_KERNEL)?;
    let [low, high] = cntlid.to_le_bytes();
    for (byte, value) in list.iter_mut().zip([1, 0, low, high]) {
        *byte = value;
    }
    Ok(list)
}

/// Whether what Identify returned of a namespace says that it exists: its size (NSZE, the first
/// eight bytes) is not 0.
pub(crate) fn exists(data: &[u8]) -> bool {
    data.iter().take(8).any(|&byte| byte != 0)
}
