// SPDX-License-Identifier: GPL-2.0

//! Log pages (Base Specification 2.1, section 5.1.12).

use super::opcode;
use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
    io,
};

const ERRORS: u8 = 0x01;
const HEALTH: u8 = 0x02;
const FIRMWARE: u8 = 0x03;
const CHANGED_NAMESPACES: u8 = 0x04;
const EFFECTS: u8 = 0x05;
const PERSISTENT_EVENTS: u8 = 0x0d;

/// The most bytes of a page that a command reads.
const LONGEST: usize = 1 << 20;
/// 27 degrees, in Kelvin.
const TEMPERATURE: u16 = 300;

fn health() -> Vec<u8> {
    let mut page = vec![0; 512];
    page[1..3].copy_from_slice(&TEMPERATURE.to_le_bytes());
    page[3] = 100; // Available spare, in percent.
    page[4] = 10; // Its threshold.
    page
}

fn firmware() -> Vec<u8> {
    let mut page = vec![0; 512];
    page[0] = 1; // Slot 1 is active.
    page[8..16].copy_from_slice(b"1.0     ");
    page
}

fn effects() -> Vec<u8> {
    const SUPPORTED: u8 = 1 << 0;
    const CHANGES_BLOCKS: u8 = 1 << 1;
    let mut page = vec![0; 4096];
    for opcode in opcode::KNOWN {
        page[4 * usize::from(opcode)] = SUPPORTED;
    }
    page[4 * usize::from(opcode::FORMAT_NVM)] |= CHANGES_BLOCKS;
    for opcode in io::opcode::KNOWN {
        page[1024 + 4 * usize::from(opcode)] = SUPPORTED;
    }
    for opcode in [
        io::opcode::WRITE,
        io::opcode::WRITE_ZEROES,
        io::opcode::DATASET_MANAGEMENT,
    ] {
        page[1024 + 4 * usize::from(opcode)] |= CHANGES_BLOCKS;
    }
    page
}

/// A log without events: only its header.
fn persistent_events(serial: &str) -> Vec<u8> {
    let mut page = vec![0; 512];
    page[0] = PERSISTENT_EVENTS;
    page[8..16].copy_from_slice(&512u64.to_le_bytes()); // Total log length.
    page[16] = 3; // Log revision.
    page[18..20].copy_from_slice(&491u16.to_le_bytes()); // The header's length, less 21.
    for (to, from) in page[56..76].iter_mut().zip(serial.bytes()) {
        *to = from;
    }
    page
}

/// Returns a log page.
fn page(log: u8, serial: &str) -> Option<Vec<u8>> {
    Some(match log {
        ERRORS => vec![0; 64],
        HEALTH => health(),
        FIRMWARE => firmware(),
        CHANGED_NAMESPACES => vec![0; 4096],
        EFFECTS => effects(),
        PERSISTENT_EVENTS => persistent_events(serial),
        _ => return None,
    })
}

impl Controller {
    pub(super) fn get_log_page(&mut self, command: &Command) -> Answer {
        let (first, second) = (command.dword(10), command.dword(11));
        let dwords = (first >> 16 | second << 16) as usize;
        let length = dwords.saturating_add(1).saturating_mul(4).min(LONGEST);
        let log = first as u8;
        let mut page = page(log, &self.settings.serial).ok_or(Status::INVALID_LOG_PAGE)?;
        let offset = command.qword(12);
        if offset % 4 != 0 || offset > page.len() as u64 {
            return Err(Status::INVALID_FIELD);
        }
        page.drain(..offset as usize);
        page.resize(length, 0);
        self.give(command, page)?;
        let retain = first & 1 << 15 != 0;
        if !retain {
            self.events.read_log(log);
            self.send_events();
        }
        Ok(Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_name_the_commands_that_there_are() {
        let page = page(EFFECTS, "").unwrap();
        assert_eq!(page[4 * usize::from(opcode::IDENTIFY)], 1);
        assert_eq!(page[4 * 0x7f], 0);
        assert_eq!(page[1024 + 4 * usize::from(io::opcode::WRITE)], 3);
    }

    #[test]
    fn health_is_good() {
        let page = page(HEALTH, "").unwrap();
        assert_eq!(page[..5], [0, 44, 1, 100, 10]);
    }

    #[test]
    fn persistent_events_have_a_header() {
        let page = page(PERSISTENT_EVENTS, "abc").unwrap();
        assert_eq!(page[..2], [0x0d, 0]);
        assert_eq!(page[8..10], [0, 2]);
        assert_eq!(page[56..60], [b'a', b'b', b'c', 0]);
    }

    #[test]
    fn other_pages_do_not_exist() {
        assert_eq!(page(0xc0, ""), None);
    }
}
