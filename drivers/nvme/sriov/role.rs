// SPDX-License-Identifier: GPL-2.0

//! The roles of a PF's and a VF's controller: a VF's controller is started only while its PF has the VF
//! online.
//!
//! These implement `controller::Role`, which has the contexts of the methods.

use super::{
    command::changes_vfs,
    desk::Admission,
    family::Family, //
};
use crate::{
    controller::{
        Nvme,
        Role, //
    },
    spec::{
        admin::IdentifyData,
        namespaces::changed_list, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use kernel_ext::nvme::{
    AdminError,
    Controller, //
};

/// The role of a physical function's controller.
pub(crate) struct Primary(Arc<Family>);

impl Primary {
    /// Creates the role of the PF's controller of `family`.
    pub(crate) fn new(family: Arc<Family>) -> Self {
        Self(family)
    }
}

impl Role for Primary {
    fn join(&self, ctrl: &Controller<Nvme>) -> Result {
        self.0.set_primary(ctrl);
        Ok(())
    }

    /// Ends the family.
    fn leave(&self, _ctrl: &Controller<Nvme>) {
        self.0.end();
    }

    fn admit(&self, _ctrl: &Controller<Nvme>) -> Result {
        self.0.starts();
        Ok(())
    }

    fn is_up(&self) {
        self.0.is_up();
    }

    fn goes_down(&self) {
        self.0.goes_down();
    }

    fn is_down(&self) {
        self.0.is_down();
    }

    fn is_gone(&self) {
        self.0.is_gone();
    }

    fn hold(&self, held: bool) {
        self.0.hold(held);
    }

    fn is_served(&self) -> bool {
        self.0.is_served()
    }

    /// Has the owner read again what the VFs have, if the command may have changed that.
    fn command_completed(&self, opcode: u8) {
        if changes_vfs(opcode) {
            self.0.suspect();
        }
    }
}

/// The role of a VF's controller.
pub(crate) struct Secondary {
    family: Arc<Family>,
    vf: u16,
    /// The epoch in which the controller was admitted last.
    served: Atomic<u32>,
}

impl Secondary {
    /// Creates the role of the controller of VF `vf`.
    pub(crate) fn new(family: Arc<Family>, vf: u16) -> Self {
        Self {
            family,
            vf,
            served: Atomic::new(0),
        }
    }
}

impl Role for Secondary {
    fn join(&self, ctrl: &Controller<Nvme>) -> Result {
        self.family.join(self.vf, ctrl)
    }

    fn is_bound(&self, ctrl: &Controller<Nvme>) {
        self.family.is_bound(ctrl);
    }

    fn leave(&self, ctrl: &Controller<Nvme>) {
        self.family.leave(ctrl);
    }

    fn admit(&self, ctrl: &Controller<Nvme>) -> Result {
        match self.family.admission(self.vf) {
            Admission::Served(epoch) => {
                self.served.store(epoch, Relaxed);
                Ok(())
            }
            Admission::Wait => Err(EAGAIN),
            Admission::Refused => {
                dev_err!(
                    ctrl.device(),
                    "the VF is offline, and its PF does not bring it online\n"
                );
                Err(ENODEV)
            }
        }
    }

    /// Reads the list of changed namespaces, which clears it: the PF may have changed some before, and
    /// the controller sends no event for another change of these.
    fn forget_changes(&self, ctrl: &Controller<Nvme>) -> Result {
        let mut list = IdentifyData::zeroed(GFP_KERNEL)?;
        match ctrl.admin_command(changed_list(), &mut list) {
            // A controller without this list sends no such events.
            Err(AdminError::Refused(_)) => Ok(()),
            answer => Ok(answer.map(drop)?),
        }
    }

    /// Notes that the device may have attached namespaces to the controller by itself.
    fn is_up(&self) {
        self.family.is_live(self.vf);
    }

    fn is_cut_off(&self) -> bool {
        match self.family.admission(self.vf) {
            Admission::Served(epoch) => epoch != self.served.load(Relaxed),
            Admission::Wait => true,
            Admission::Refused => false,
        }
    }

    fn has_to_wait(&self) -> bool {
        self.family.admission(self.vf) == Admission::Wait
    }

    fn wait_for_primary(&self, ctrl: &Controller<Nvme>) {
        self.family.wait_for_primary(self.vf);
        ctrl.flush_reset();
    }
}
