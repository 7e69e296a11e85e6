// SPDX-License-Identifier: GPL-2.0

//! Status codes, with their types (base specification, figures 101 to 103): the reasons for which a
//! controller refuses the commands of `sriov`.

use kernel::prelude::*;
use kernel_ext::nvme::CommandStatus;

/// Namespace Already Attached, of Namespace Attachment.
pub(crate) const NAMESPACE_ALREADY_ATTACHED: u16 = 0x118;
/// Namespace Not Attached, of Namespace Attachment.
pub(crate) const NAMESPACE_NOT_ATTACHED: u16 = 0x11a;

/// Status codes with the names that the specification gives them, and the errnos that `sriov` returns
/// for them.
const STATUSES: [(u16, &str, Error); 13] = [
    (0x001, "Invalid Command Opcode", EOPNOTSUPP),
    (0x002, "Invalid Field in Command", EIO),
    (0x006, "Internal Error", EIO),
    (0x007, "Command Abort Requested", EIO),
    (0x00b, "Invalid Namespace or Format", ENXIO),
    (0x118, "Namespace Already Attached", EEXIST),
    (0x119, "Namespace Is Private", EBUSY),
    (0x11a, "Namespace Not Attached", ENXIO),
    (0x11c, "Controller List Invalid", ENXIO),
    (0x11f, "Invalid Controller Identifier", ENXIO),
    (0x120, "Invalid Secondary Controller State", EBUSY),
    (0x121, "Invalid Number of Controller Resources", ENOSPC),
    (0x122, "Invalid Resource Identifier", ENOSPC),
];

fn find(status: CommandStatus) -> Option<&'static (u16, &'static str, Error)> {
    STATUSES.iter().find(|(code, ..)| *code == status.code())
}

/// Returns the specification's name of `status`.
pub(crate) fn name(status: CommandStatus) -> &'static str {
    find(status).map_or("unexpected status", |(_, name, _)| name)
}

/// Returns the errno for `status`, `EIO` if the table has none.
pub(crate) fn errno(status: CommandStatus) -> Error {
    find(status).map_or(EIO, |&(_, _, errno)| errno)
}

#[kunit_tests(nvme_rs_status)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_name_and_errno() {
        let cases = [
            (0x0001, "Invalid Command Opcode", EOPNOTSUPP),
            (0x0118, "Namespace Already Attached", EEXIST),
            (0x011f, "Invalid Controller Identifier", ENXIO),
            (0x0120, "Invalid Secondary Controller State", EBUSY),
            (0x0121, "Invalid Number of Controller Resources", ENOSPC),
            // The code without its type is another status.
            (0x0020, "unexpected status", EIO),
            // With Do Not Retry, and the largest Command Retry Delay.
            (0x5920, "Invalid Secondary Controller State", EBUSY),
        ];
        for (status, text, error) in cases {
            assert_eq!(name(CommandStatus(status)), text);
            assert_eq!(errno(CommandStatus(status)), error);
        }
    }
}
