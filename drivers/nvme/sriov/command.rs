// SPDX-License-Identifier: GPL-2.0

//! What the primary controller is told about its secondary controllers, and how it refuses.

use super::share::name;
use crate::{
    controller::Nvme,
    spec::{
        admin::{
            identify,
            IDENTIFY_SIZE, //
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
    AdminError,
    Command,
    Controller, //
};

/// Something that the primary controller is told.
#[derive(Clone, Copy)]
enum Order {
    Identify {
        cns: u8,
        nsid: u32,
        cntid: u16,
    },
    AllocateToPrimary {
        cntlid: u16,
        kind: Resource,
        count: u16,
    },
    Assign {
        vf: u16,
        scid: u16,
        kind: Resource,
        count: u16,
    },
    Online {
        vf: u16,
        scid: u16,
    },
    Offline {
        vf: u16,
        scid: u16,
    },
    Attach {
        vf: u16,
        nsid: u32,
    },
    Detach {
        vf: u16,
        nsid: u32,
    },
}

/// What cannot be done if the order fails.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Identify { cns, .. } => write!(f, "Identify {cns:#x} failed"),
            Self::AllocateToPrimary { kind, count, .. } => {
                let name = name(kind);
                write!(
                    f,
                    "cannot leave {count} flexible {name} resources to the PF"
                )
            }
            Self::Assign {
                vf, kind, count, ..
            } => {
                let name = name(kind);
                write!(f, "VF {vf}: cannot assign {count} {name} resources")
            }
            Self::Online { vf, .. } => write!(f, "VF {vf}: cannot bring it online"),
            Self::Offline { vf, .. } => write!(f, "VF {vf}: cannot take it offline"),
            Self::Attach { vf, nsid } => write!(f, "VF {vf}: cannot attach namespace {nsid}"),
            Self::Detach { vf, nsid } => write!(f, "VF {vf}: cannot detach namespace {nsid}"),
        }
    }
}

impl Order {
    fn command(&self) -> Command {
        match *self {
            Self::Identify { cns, nsid, cntid } => identify(cns, cntid).with_nsid(nsid),
            Self::AllocateToPrimary {
                cntlid,
                kind,
                count,
            } => virtualization::allocate_to_primary(cntlid, kind, count),
            Self::Assign {
                scid, kind, count, ..
            } => virtualization::assign(scid, kind, count),
            Self::Online { scid, .. } => virtualization::online(scid),
            Self::Offline { scid, .. } => virtualization::offline(scid),
            Self::Attach { nsid, .. } => namespaces::attach(nsid),
            Self::Detach { nsid, .. } => namespaces::detach(nsid),
        }
    }

    /// Gives the order. If it does not come to an answer, one line
    /// says so, unless the controller is down: then the order is given again, or whoever wants it is
    /// told.
    fn give(self, ctrl: &Controller<Nvme>, data: Option<&mut [u8]>) -> Result<(), AdminError> {
        if !ctrl.data().is_present() {
            return Err(ENODEV.into());
        }
        let answer = ctrl.admin_command(self.command(), data);
        if let Err(AdminError::Failed(e)) = answer {
            if !is_interrupted(ctrl) {
                dev_err!(ctrl.device(), "{self}: {e:?}\n");
            }
        }
        answer.map(drop)
    }

    /// The errno of an order that failed. Says so if it was refused.
    fn errno(self, ctrl: &Controller<Nvme>, e: AdminError) -> Error {
        let status = match e {
            AdminError::Refused(status) => status,
            AdminError::Failed(e) => return e,
        };
        let (name, code) = (status::name(status), status.code());
        dev_err!(ctrl.device(), "{self}: {name} ({code:#x})\n");
        status::errno(status)
    }

    /// Gives the order, which the controller must obey.
    fn force(self, ctrl: &Controller<Nvme>, data: Option<&mut [u8]>) -> Result {
        self.give(ctrl, data).map_err(|e| self.errno(ctrl, e))
    }
}

/// Whether a command to the primary controller failed, or will, as it is down.
pub(super) fn is_interrupted(ctrl: &Controller<Nvme>) -> bool {
    !ctrl.data().role.is_served()
}

/// Whether an admin command with `opcode` may change what the VFs have.
pub(super) fn changes_vfs(opcode: u8) -> bool {
    virtualization::is_management(opcode) || namespaces::is_management(opcode)
}

/// Reads an Identify data structure, of namespace `nsid` and controller `cntid` where that matters.
pub(super) fn read(ctrl: &Controller<Nvme>, cns: u8, nsid: u32, cntid: u16) -> Result<KVec<u8>> {
    let mut data = KVec::from_elem(0, IDENTIFY_SIZE, GFP_KERNEL)?;
    Order::Identify { cns, nsid, cntid }.force(ctrl, Some(&mut data))?;
    Ok(data)
}

/// Makes `count` the number of flexible resources that the primary controller `cntlid` has for
/// itself, from its next function reset on.
pub(super) fn allocate_to_primary(
    ctrl: &Controller<Nvme>,
    cntlid: u16,
    kind: Resource,
    count: u16,
) -> Result {
    Order::AllocateToPrimary {
        cntlid,
        kind,
        count,
    }
    .force(ctrl, None)
}

/// Gives VF `vf`, whose controller `scid` is offline, `count` resources.
pub(super) fn assign(
    ctrl: &Controller<Nvme>,
    vf: u16,
    scid: u16,
    kind: Resource,
    count: u16,
) -> Result {
    Order::Assign {
        vf,
        scid,
        kind,
        count,
    }
    .force(ctrl, None)
}

/// Brings VF `vf` online, whose function must be enabled.
pub(super) fn online(ctrl: &Controller<Nvme>, vf: u16, scid: u16) -> Result {
    Order::Online { vf, scid }.force(ctrl, None)
}

/// Takes VF `vf` offline.
pub(super) fn offline(ctrl: &Controller<Nvme>, vf: u16, scid: u16) -> Result {
    Order::Offline { vf, scid }.force(ctrl, None)
}

/// Whether the controller refused with this status code.
fn is(e: AdminError, code: u16) -> bool {
    matches!(e, AdminError::Refused(status) if status.code() == code)
}

/// Attaches namespace `nsid` to the controller `scid` of VF `vf`.
pub(super) fn attach(ctrl: &Controller<Nvme>, vf: u16, scid: u16, nsid: u32) -> Result {
    let mut list = namespaces::controller_list(scid)?;
    let order = Order::Attach { vf, nsid };
    match order.give(ctrl, Some(&mut list)) {
        // Somebody was faster.
        Err(e) if is(e, status::NAMESPACE_ALREADY_ATTACHED) => Ok(()),
        answer => answer.map_err(|e| order.errno(ctrl, e)),
    }
}

/// Detaches namespace `nsid` from the controller `scid` of VF `vf`.
pub(super) fn detach(ctrl: &Controller<Nvme>, vf: u16, scid: u16, nsid: u32) -> Result {
    let mut list = namespaces::controller_list(scid)?;
    let order = Order::Detach { vf, nsid };
    match order.give(ctrl, Some(&mut list)) {
        // Somebody was faster.
        Err(e) if is(e, status::NAMESPACE_NOT_ATTACHED) => Ok(()),
        answer => answer.map_err(|e| order.errno(ctrl, e)),
    }
}
