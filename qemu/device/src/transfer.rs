// SPDX-License-Identifier: GPL-2.0

//! The data of a command in the host's memory (Base Specification 2.1, section 4.3).

mod prp;
mod sgl;

use crate::{
    command::{Command, Status},
    memory::Memory,
};

/// A part of the data, which is in one piece in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Its address.
    pub address: u64,
    /// Its length.
    pub length: usize,
}

/// Why data has no pieces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What the command completes with.
    pub status: Status,
    /// What the host did wrong.
    pub why: String,
}

impl Refusal {
    fn new(status: Status, why: String) -> Self {
        Refusal { status, why }
    }

    fn fault(what: &str, address: u64) -> Self {
        Self::new(
            Status::DATA_TRANSFER_ERROR,
            format!("{what} at {address:#x} cannot be accessed"),
        )
    }
}

/// Returns the pieces of the `length` bytes that `command` transfers. `page` is the size of a
/// memory page (CC.MPS).
pub fn pieces(
    memory: &dyn Memory,
    command: &Command,
    length: usize,
    page: u64,
) -> Result<Vec<Piece>, Refusal> {
    match command.psdt() {
        _ if length == 0 => Ok(Vec::new()),
        0 => prp::pieces(memory, command.qword(6), command.qword(8), length, page),
        1 | 2 => {
            let mut first = [0; 16];
            first.copy_from_slice(&command.0[24..40]);
            sgl::pieces(memory, first, length)
        }
        psdt => Err(Refusal::new(Status::INVALID_FIELD, format!("PSDT {psdt}"))),
    }
}

/// Writes `data` to the host.
pub fn give(memory: &mut dyn Memory, pieces: &[Piece], data: &[u8]) -> Result<(), Refusal> {
    let mut data = data;
    for piece in pieces {
        let (now, rest) = data.split_at(piece.length.min(data.len()));
        (memory.write(piece.address, now)).map_err(|_| Refusal::fault("data", piece.address))?;
        data = rest;
    }
    Ok(())
}

/// Reads `data` from the host.
pub fn take(memory: &dyn Memory, pieces: &[Piece], data: &mut [u8]) -> Result<(), Refusal> {
    let mut data = data;
    for piece in pieces {
        let (now, rest) = data.split_at_mut(piece.length.min(data.len()));
        (memory.read(piece.address, now)).map_err(|_| Refusal::fault("data", piece.address))?;
        data = rest;
    }
    Ok(())
}
