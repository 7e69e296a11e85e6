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

#[kunit_tests(nvme_rs_namespaces)]
mod tests {
    use super::*;

    #[test]
    fn attachment_names_the_namespace() {
        let parts = |command: Command| (command.opcode(), command.dword(1), command.dword(10));
        assert_eq!(parts(attach(0x0102_0304)), (0x15, 0x0102_0304, 0));
        assert_eq!(parts(detach(0x0102_0304)), (0x15, 0x0102_0304, 1));
    }

    #[test]
    fn a_list_of_one_controller() -> Result {
        let list = controller_list(0x0102)?;
        assert_eq!(list.len(), 4096);
        assert_eq!(list.get(..4), Some(&[1, 0, 2, 1][..]));
        assert!(list.iter().skip(4).all(|&byte| byte == 0));
        Ok(())
    }

    #[test]
    fn a_namespace_of_any_size_exists() -> Result {
        let mut data = KVec::from_elem(0, 4096, GFP_KERNEL)?;
        assert!(!exists(&data));
        for (i, found) in [(0, true), (7, true), (8, false)] {
            data[i] = 1;
            assert_eq!(exists(&data), found);
            data[i] = 0;
        }
        Ok(())
    }

    #[test]
    fn no_namespace_has_a_reserved_identifier() {
        assert!(!is_valid(0) && !is_valid(u32::MAX));
        assert!(is_valid(1) && is_valid(u32::MAX - 1));
    }
}
