// SPDX-License-Identifier: GPL-2.0

//! The commands to the primary controller about its secondary controllers, and the errnos for those that
//! fail. Only the owner sends them; each waits for its answer.

use super::share::name;
use crate::{
    controller::Nvme,
    spec::{
        admin::{
            self,
            IdentifyData, //
        },
        namespaces, status,
        virtualization::{
            self,
            Resource, //
        },
    },
};
use kernel::{
    fmt,
    prelude::*, //
};
use kernel_ext::nvme::{
    AdminCommand,
    AdminError,
    Controller,
    Transfer, //
};

/// A command to the primary controller.
#[derive(Clone, Copy)]
enum Order {
    Identify { cns: u8 },
    AllocateToPrimary { kind: Resource, count: u16 },
    Assign { vf: u16, kind: Resource, count: u16 },
    Online { vf: u16 },
    Offline { vf: u16 },
    Attach { vf: u16, nsid: u32 },
    Detach { vf: u16, nsid: u32 },
}

/// Prints what has failed, for a message.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Identify { cns } => write!(f, "Identify {cns:#x} failed"),
            Self::AllocateToPrimary { kind, count } => {
                let name = name(kind);
                write!(
                    f,
                    "cannot leave {count} flexible {name} resources to the PF"
                )
            }
            Self::Assign { vf, kind, count } => {
                let name = name(kind);
                write!(f, "VF {vf}: cannot assign {count} {name} resources")
            }
            Self::Online { vf } => write!(f, "VF {vf}: cannot bring it online"),
            Self::Offline { vf } => write!(f, "VF {vf}: cannot take it offline"),
            Self::Attach { vf, nsid } => write!(f, "VF {vf}: cannot attach namespace {nsid}"),
            Self::Detach { vf, nsid } => write!(f, "VF {vf}: cannot detach namespace {nsid}"),
        }
    }
}

impl Order {
    /// Sends `command`, which transfers `data`. If there is no answer, reports that, unless the controller is down: then the
    /// job is done again, or its caller gets the error.
    fn give<D: Transfer>(
        self,
        ctrl: &Controller<Nvme>,
        command: AdminCommand<D>,
        data: D::Buffer<'_>,
    ) -> Result<(), AdminError> {
        if !ctrl.data().is_present() {
            return Err(ENODEV.into());
        }
        let answer = ctrl.admin_command(command, data);
        if let Err(AdminError::Failed(e)) = answer {
            if !is_interrupted(ctrl) {
                dev_err!(ctrl.device(), "{self}: {e:?}\n");
            }
        }
        answer.map(drop)
    }

    /// Returns the errno of a command that failed. Reports it if the controller refused.
    fn errno(self, ctrl: &Controller<Nvme>, e: AdminError) -> Error {
        let status = match e {
            AdminError::Refused(status) => status,
            AdminError::Failed(e) => return e,
        };
        let (name, code) = (status::name(status), status.code());
        dev_err!(ctrl.device(), "{self}: {name} ({code:#x})\n");
        status::errno(status)
    }

    /// As [`Order::give`], but every refusal is an error.
    fn force<D: Transfer>(
        self,
        ctrl: &Controller<Nvme>,
        command: AdminCommand<D>,
        data: D::Buffer<'_>,
    ) -> Result {
        self.give(ctrl, command, data)
            .map_err(|e| self.errno(ctrl, e))
    }
}

/// Returns whether the primary controller is down: then its commands fail for that reason.
pub(super) fn is_interrupted(ctrl: &Controller<Nvme>) -> bool {
    !ctrl.data().role.is_served()
}

/// Returns whether an admin command with `opcode` may change what the VFs have.
pub(super) fn changes_vfs(opcode: u8) -> bool {
    virtualization::is_management(opcode) || namespaces::is_management(opcode)
}

/// Reads Identify data structure `cns`. `nsid` and `cntid` are ignored where they do not apply.
pub(super) fn identify(
    ctrl: &Controller<Nvme>,
    cns: u8,
    nsid: u32,
    cntid: u16,
) -> Result<IdentifyData> {
    let mut data = IdentifyData::zeroed(GFP_KERNEL)?;
    let command = admin::identify(cns, cntid).with_nsid(nsid);
    Order::Identify { cns }.force(ctrl, command, &mut data)?;
    Ok(data)
}

/// Sets the number of flexible resources that the primary controller `cntlid` keeps for itself to
/// `count`, from its next function reset on.
pub(super) fn allocate_to_primary(
    ctrl: &Controller<Nvme>,
    cntlid: u16,
    kind: Resource,
    count: u16,
) -> Result {
    let command = virtualization::allocate_to_primary(cntlid, kind, count);
    Order::AllocateToPrimary { kind, count }.force(ctrl, command, ())
}

/// Assigns `count` resources to VF `vf`, whose controller `scid` must be offline.
pub(super) fn assign(
    ctrl: &Controller<Nvme>,
    vf: u16,
    scid: u16,
    kind: Resource,
    count: u16,
) -> Result {
    let command = virtualization::assign(scid, kind, count);
    Order::Assign { vf, kind, count }.force(ctrl, command, ())
}

/// Brings VF `vf` online, whose function must be enabled.
pub(super) fn online(ctrl: &Controller<Nvme>, vf: u16, scid: u16) -> Result {
    Order::Online { vf }.force(ctrl, virtualization::online(scid), ())
}

/// Takes VF `vf` offline.
pub(super) fn offline(ctrl: &Controller<Nvme>, vf: u16, scid: u16) -> Result {
    Order::Offline { vf }.force(ctrl, virtualization::offline(scid), ())
}

/// Returns whether the controller refused with this status code.
fn was_refused_with(e: AdminError, code: u16) -> bool {
    matches!(e, AdminError::Refused(status) if status.code() == code)
}

/// Attaches namespace `nsid` to the controller `scid` of VF `vf`.
pub(super) fn attach(ctrl: &Controller<Nvme>, vf: u16, scid: u16, nsid: u32) -> Result {
    let list = namespaces::controller_list(scid)?;
    let order = Order::Attach { vf, nsid };
    match order.give(ctrl, namespaces::attach(nsid), &list) {
        // Somebody else has attached it meanwhile.
        Err(e) if was_refused_with(e, status::NAMESPACE_ALREADY_ATTACHED) => Ok(()),
        answer => answer.map_err(|e| order.errno(ctrl, e)),
    }
}

/// Detaches namespace `nsid` from the controller `scid` of VF `vf`.
pub(super) fn detach(ctrl: &Controller<Nvme>, vf: u16, scid: u16, nsid: u32) -> Result {
    let list = namespaces::controller_list(scid)?;
    let order = Order::Detach { vf, nsid };
    match order.give(ctrl, namespaces::detach(nsid), &list) {
        // Somebody else has detached it meanwhile.
        Err(e) if was_refused_with(e, status::NAMESPACE_NOT_ATTACHED) => Ok(()),
        answer => answer.map_err(|e| order.errno(ctrl, e)),
    }
}
