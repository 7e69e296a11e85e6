// SPDX-License-Identifier: GPL-2.0

//! Which controller sees which namespace: Namespace Attachment (base specification, section
//! 5.1.20), and whether a namespace exists at all.

use super::admin::{
    IdentifyData,
    IDENTIFY_SIZE, //
};
use kernel::prelude::*;
use kernel_ext::nvme::{
    AdminCommand,
    Reads,
    Writes, //
};

/// Namespace Management (section 5.1.21).
const NAMESPACE_MANAGEMENT: u8 = 0x0d;
/// Namespace Attachment.
const NAMESPACE_ATTACHMENT: u8 = 0x15;

/// Changed Attached Namespace List (section 5.1.12.1.5).
const LID_CHANGED_NAMESPACES: u8 = 0x04;

/// Reads the whole list of namespaces that have changed since it was read last, 4 KiB. Until it is
/// read, the controller sends no event for another change of a namespace in the list.
pub(crate) fn changed_list() -> AdminCommand<Reads<IDENTIFY_SIZE>> {
    AdminCommand::log_page(LID_CHANGED_NAMESPACES).with_nsid(BROADCAST)
}

/// Returns whether an admin command with `opcode` creates, deletes, attaches or detaches namespaces.
pub(crate) fn is_management(opcode: u8) -> bool {
    matches!(opcode, NAMESPACE_MANAGEMENT | NAMESPACE_ATTACHMENT)
}

/// Select (dword 10, bits 3:0, of Namespace Attachment).
#[derive(Clone, Copy)]
enum Select {
    Attach = 0,
    Detach = 1,
}

/// Identify: the allocated namespaces with identifiers above NSID, attached or not (CNS 10h).
pub(crate) const CNS_ALLOCATED_LIST: u8 = 0x10;
/// Identify: the controllers that a namespace is attached to, with identifiers from CNTID on (CNS
/// 12h).
pub(crate) const CNS_ATTACHED_CONTROLLERS: u8 = 0x12;

/// How many entries a Namespace List has at most (figure 139).
pub(crate) const NSIDS_IN_LIST: usize = 1024;
/// How many entries a Controller List has at most (figure 137).
pub(crate) const CNTLIDS_IN_LIST: usize = 2047;

/// Returns the entries of a Namespace List; an entry of 0 ends it.
pub(crate) fn nsids(data: &[u8]) -> impl Iterator<Item = u32> + '_ {
    data.chunks_exact(4)
        .take(NSIDS_IN_LIST)
        .filter_map(|entry| entry.try_into().ok().map(u32::from_le_bytes))
        .take_while(|&nsid| nsid != 0)
}

/// Returns the entries of a Controller List. Its first word counts them; a count above the maximum is
/// taken for the maximum.
pub(crate) fn cntlids(data: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let mut words = data
        .chunks_exact(2)
        .filter_map(|word| word.try_into().ok().map(u16::from_le_bytes));
    let count = usize::from(words.next().unwrap_or(0)).min(CNTLIDS_IN_LIST);
    words.take(count)
}

/// Optional Admin Command Support, of Identify Controller: Namespace Management and Attachment.
pub(crate) const OACS_NAMESPACES: u16 = 1 << 3;

/// The identifier that stands for all namespaces.
const BROADCAST: u32 = u32::MAX;

/// Returns whether a namespace can have this identifier (section 3.2.1.2).
pub(crate) fn is_valid(nsid: u32) -> bool {
    !matches!(nsid, 0 | BROADCAST)
}

fn attachment(nsid: u32, select: Select) -> AdminCommand<Writes<IDENTIFY_SIZE>> {
    AdminCommand::new::<NAMESPACE_ATTACHMENT>(select as u32).with_nsid(nsid)
}

/// Attaches namespace `nsid` to the controllers of the list that goes with the command.
pub(crate) fn attach(nsid: u32) -> AdminCommand<Writes<IDENTIFY_SIZE>> {
    attachment(nsid, Select::Attach)
}

/// Detaches namespace `nsid` from the controllers of the list that goes with the command.
pub(crate) fn detach(nsid: u32) -> AdminCommand<Writes<IDENTIFY_SIZE>> {
    attachment(nsid, Select::Detach)
}

/// Returns a Controller List (figure 137) with one entry.
pub(crate) fn controller_list(cntlid: u16) -> Result<IdentifyData> {
    let mut list = IdentifyData::zeroed(GFP_KERNEL)?;
    let [low, high] = cntlid.to_le_bytes();
    for (byte, value) in list.iter_mut().zip([1, 0, low, high]) {
        *byte = value;
    }
    Ok(list)
}

#[kunit_tests(nvme_rs_namespaces)]
mod tests {
    use super::*;

    #[test]
    fn attachment_names_the_namespace() {
        let parts = |command: AdminCommand<_>| {
            let command = command.as_command();
            (command.opcode(), command.dword(1), command.dword(10))
        };
        assert_eq!(parts(attach(0x0102_0304)), (0x15, 0x0102_0304, 0));
        assert_eq!(parts(detach(0x0102_0304)), (0x15, 0x0102_0304, 1));
    }

    #[test]
    fn the_list_of_changes_is_read_as_a_whole() {
        let command = changed_list();
        let command = command.as_command();
        assert_eq!((command.opcode(), command.dword(1)), (0x02, u32::MAX));
        // NUMDL is 0's based; Retain Asynchronous Event, bit 15, is not set.
        assert_eq!(command.dword(10), 0x03ff_0004);
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
    fn a_list_of_namespaces_ends_with_0() -> Result {
        let mut data = KVec::from_elem(0, 4096, GFP_KERNEL)?;
        assert_eq!(nsids(&data).count(), 0);
        data[0] = 2;
        data[5] = 1;
        data[12] = 9;
        assert!(nsids(&data).eq([2, 256]));
        for byte in data.iter_mut() {
            *byte = 1;
        }
        assert_eq!(nsids(&data).count(), NSIDS_IN_LIST);
        Ok(())
    }

    #[test]
    fn a_list_of_controllers_has_as_many_as_it_says() -> Result {
        let mut data = KVec::from_elem(0xff, 4096, GFP_KERNEL)?;
        assert_eq!(cntlids(&data).count(), CNTLIDS_IN_LIST);
        data[0] = 2;
        data[1] = 0;
        data[2] = 1;
        data[3] = 2;
        assert!(cntlids(&data).eq([0x0201, 0xffff]));
        assert!(cntlids(&controller_list(0x0102)?[..]).eq([0x0102]));
        assert_eq!(cntlids(&[]).count(), 0);
        Ok(())
    }

    #[test]
    fn no_namespace_has_a_reserved_identifier() {
        assert!(!is_valid(0) && !is_valid(u32::MAX));
        assert!(is_valid(1) && is_valid(u32::MAX - 1));
    }
}
