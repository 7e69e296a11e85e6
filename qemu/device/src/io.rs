// SPDX-License-Identifier: GPL-2.0

//! I/O commands on memory (NVM Command Set Specification 1.1, section 3.3).

use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
    namespace::OutOfRange,
    transfer,
};

/// The opcodes of I/O commands.
#[allow(missing_docs)] // The specification's own names.
pub mod opcode {
    pub const FLUSH: u8 = 0x00;
    pub const WRITE: u8 = 0x01;
    pub const READ: u8 = 0x02;
    pub const COMPARE: u8 = 0x05;
    pub const WRITE_ZEROES: u8 = 0x08;
    pub const DATASET_MANAGEMENT: u8 = 0x09;

    /// The opcodes of all commands that the controller knows.
    pub const KNOWN: [u8; 6] = [
        FLUSH,
        WRITE,
        READ,
        COMPARE,
        WRITE_ZEROES,
        DATASET_MANAGEMENT,
    ];
}

const COMPARE_FAILURE: Status = Status(0x285);
/// AD, of Dataset Management: the ranges are deallocated.
const DEALLOCATE: u32 = 1 << 2;
/// The bytes of a range of Dataset Management.
const RANGE: usize = 16;

impl From<OutOfRange> for Status {
    fn from(_: OutOfRange) -> Status {
        Status::LBA_OUT_OF_RANGE
    }
}

impl Controller {
    /// Obeys an I/O command.
    pub(crate) fn io(&mut self, command: &Command) -> Answer {
        self.journal.count("io_commands");
        if command.psdt() != 0 {
            self.journal.count("sgl_commands");
        }
        let id = command.namespace();
        if command.opcode() == opcode::FLUSH && id == 0xffff_ffff {
            return Ok(Some(0));
        }
        let index = (self.namespaces.iter())
            .position(|namespace| namespace.id() == id)
            .ok_or(Status::INVALID_NAMESPACE)?;
        match command.opcode() {
            opcode::FLUSH => {}
            opcode::WRITE | opcode::READ | opcode::COMPARE => self.transfer(command, index)?,
            opcode::WRITE_ZEROES => {
                let (first, blocks) = range(command);
                self.namespaces[index].range(first, blocks)?.fill(0);
            }
            opcode::DATASET_MANAGEMENT => self.manage(command, index)?,
            _ => return Err(Status::INVALID_OPCODE),
        }
        Ok(Some(0))
    }

    fn transfer(&mut self, command: &Command, index: usize) -> Result<(), Status> {
        let (first, blocks) = range(command);
        let most = 4096u64 << self.settings.page_min << self.settings.mdts.min(40);
        let namespace = &mut self.namespaces[index];
        if self.settings.mdts > 0 && blocks << namespace.shift() > most {
            self.journal
                .violation(format!("{blocks} blocks are more than MDTS"));
            return Err(Status::INVALID_FIELD);
        }
        let data = namespace.range(first, blocks)?;
        if command.opcode() == opcode::READ && self.current.is_some() {
            let data = data.to_vec();
            return self.give(command, data);
        }
        let page = self.registers.page();
        let done = transfer::pieces(&self.memory, command, data.len(), page).and_then(|pieces| {
            match command.opcode() {
                opcode::READ => transfer::give(&mut self.memory, &pieces, data)?,
                opcode::WRITE => transfer::take(&self.memory, &pieces, data)?,
                _ => {
                    let mut other = vec![0; data.len()];
                    transfer::take(&self.memory, &pieces, &mut other)?;
                    return Ok(other == data);
                }
            }
            Ok(true)
        });
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(COMPARE_FAILURE),
            Err(refusal) => Err(self.complain(refusal)),
        }
    }

    fn manage(&mut self, command: &Command, index: usize) -> Result<(), Status> {
        let mut ranges = vec![0; RANGE * ((command.dword(10) as usize & 0xff) + 1)];
        self.take(command, &mut ranges)?;
        if command.dword(11) & DEALLOCATE == 0 {
            return Ok(());
        }
        for bytes in ranges.chunks_exact(RANGE) {
            let blocks = u32::from_le_bytes([4, 5, 6, 7].map(|n| bytes[n]));
            let first = u64::from_le_bytes([8, 9, 10, 11, 12, 13, 14, 15].map(|n| bytes[n]));
            let data = self.namespaces[index].range(first, blocks.into())?;
            data.fill(0);
        }
        Ok(())
    }
}

/// Returns the first block, and the number of blocks.
fn range(command: &Command) -> (u64, u64) {
    (command.qword(10), u64::from(command.dword(12) & 0xffff) + 1)
}
