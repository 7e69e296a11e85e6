// SPDX-License-Identifier: GPL-2.0

//! Format NVM (Base Specification 2.1, section 5.1.10).

use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
};

const ALL: u32 = 0xffff_ffff;

impl Controller {
    pub(super) fn format(&mut self, command: &Command) -> Answer {
        let format = (command.dword(10) & 0xf | command.dword(10) >> 8 & 0x30) as u8;
        let id = command.namespace();
        let mut found = false;
        for namespace in &mut self.namespaces {
            if id == ALL || id == namespace.id() {
                found = true;
                if !namespace.change_format(format) {
                    return Err(Status::INVALID_FORMAT);
                }
            }
        }
        if found {
            Ok(Some(0))
        } else {
            Err(Status::INVALID_NAMESPACE)
        }
    }
}
