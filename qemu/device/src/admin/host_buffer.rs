// SPDX-License-Identifier: GPL-2.0

//! The host memory buffer (Base Specification 2.1, section 5.2.26.2.4).

use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
    memory::Memory,
    random::Random,
};
use std::collections::HashMap;

/// EHM: the host gives the buffer.
const ENABLE: u32 = 1 << 0;
/// MR: it is the buffer that the controller had before, with what was in it.
const RETURNED: u32 = 1 << 1;
/// The bytes of a descriptor.
const DESCRIPTOR: u64 = 16;
/// The most descriptors that are read.
const MOST: u32 = 4096;

/// A buffer that the host has given, which the controller writes and reads.
#[derive(Debug)]
pub struct HostBuffer {
    /// Address and number of pages of each range.
    ranges: Vec<(u64, u64)>,
    page: u64,
    /// What was written to each page.
    written: HashMap<u64, u64>,
}

impl HostBuffer {
    /// Reads the descriptors of a buffer. What the host did wrong goes to `complaints`.
    pub fn new(
        memory: &dyn Memory,
        list: u64,
        entries: u32,
        pages: u32,
        page: u64,
        complaints: &mut Vec<String>,
    ) -> Result<Self, Status> {
        if list % 16 != 0 || entries == 0 || entries > MOST {
            complaints.push(format!("HMB: {entries} descriptors at {list:#x}"));
            return Err(Status::INVALID_FIELD);
        }
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for index in 0..u64::from(entries) {
            let mut bytes = [0; DESCRIPTOR as usize];
            (memory.read(list + DESCRIPTOR * index, &mut bytes))
                .map_err(|_| Status::DATA_TRANSFER_ERROR)?;
            let (address, size) = bytes.split_at(8);
            let address = u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|n| address[n]));
            let count = u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|n| size[n])));
            if address % page != 0 || count == 0 || size[4..] != [0; 4] {
                complaints.push(format!("HMB: descriptor {index} is {bytes:02x?}"));
            }
            let overlaps = |&(other, pages): &(u64, u64)| {
                address < other + pages * page && other < address + count * page
            };
            if ranges.iter().any(overlaps) {
                complaints.push(format!("HMB: descriptor {index} overlaps another"));
            }
            ranges.push((address, count));
        }
        let sum: u64 = ranges.iter().map(|range| range.1).sum();
        if sum != u64::from(pages) {
            complaints.push(format!("HMB: {pages} pages are {sum}"));
        }
        ranges.retain(|range| range.1 > 0);
        Ok(HostBuffer {
            ranges,
            page,
            written: HashMap::new(),
        })
    }

    /// Checks one page, if it was written, and writes it anew.
    fn exercise_page(
        &mut self,
        memory: &mut dyn Memory,
        random: &mut Random,
        address: u64,
    ) -> Result<(), String> {
        let fault = |_| format!("HMB: the page at {address:#x} cannot be accessed");
        if let Some(pattern) = self.written.get(&address) {
            for at in [address, address + self.page - 8] {
                let found = memory.read_u64(at).map_err(fault)?;
                if found != *pattern {
                    return Err(format!("HMB: {at:#x} has {found:#x}, not {pattern:#x}"));
                }
            }
        }
        let pattern = random.number();
        for at in [address, address + self.page - 8] {
            memory.write(at, &pattern.to_le_bytes()).map_err(fault)?;
        }
        self.written.insert(address, pattern);
        Ok(())
    }

    /// Uses a page of the buffer.
    pub fn exercise(&mut self, memory: &mut dyn Memory, random: &mut Random) -> Result<(), String> {
        let index = random.below(self.ranges.len() as u64) as usize;
        let Some(&(base, count)) = self.ranges.get(index) else {
            return Ok(());
        };
        let address = base + random.below(count) * self.page;
        self.exercise_page(memory, random, address)
    }

    /// Checks all pages that were written. The buffer must be as the controller left it.
    pub fn check(&mut self, memory: &mut dyn Memory, random: &mut Random) -> Result<(), String> {
        let mut addresses: Vec<u64> = self.written.keys().copied().collect();
        addresses.sort();
        addresses
            .into_iter()
            .try_for_each(|address| self.exercise_page(memory, random, address))
    }

    /// Returns address and number of pages of each range.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Takes over what was written to `former`, which must have the same ranges.
    fn resume(&mut self, former: HostBuffer) -> Result<(), String> {
        if self.ranges != former.ranges {
            return Err("HMB: other memory is returned than was given".into());
        }
        self.written = former.written;
        Ok(())
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> u64 {
        self.ranges.iter().map(|range| range.1).sum()
    }
}

impl Controller {
    /// Set Features, Host Memory Buffer.
    pub(super) fn set_host_buffer(&mut self, command: &Command) -> Answer {
        if self.settings.hmb_preferred == 0 {
            return Err(Status::INVALID_FIELD);
        }
        self.check_host_buffer();
        self.journal.count("hmb_commands");
        if command.dword(11) & ENABLE == 0 {
            self.former_buffer = self.host_buffer.take();
            return Ok(Some(0));
        }
        if self.host_buffer.is_some() {
            self.journal.violation("HMB: enabled twice".into());
            return Err(Status::COMMAND_SEQUENCE_ERROR);
        }
        let (pages, page) = (command.dword(12), self.registers.page());
        let mut complaints = Vec::new();
        let buffer = HostBuffer::new(
            &self.memory,
            command.qword(13),
            command.dword(15),
            pages,
            page,
            &mut complaints,
        );
        if u64::from(pages) * page < u64::from(self.settings.hmb_minimum) * 4096 {
            complaints.push(format!("HMB: {pages} pages are below the minimum"));
        }
        let (smallest, most) = (self.settings.hmb_smallest, self.settings.hmb_most);
        if most > 0 && command.dword(15) > u32::from(most) {
            complaints.push(format!("HMB: more descriptors than {most}"));
        }
        let mut buffer = buffer?;
        let is_small = |&(_, pages): &(u64, u64)| pages * page < u64::from(smallest) * 4096;
        if buffer.ranges.iter().any(is_small) {
            complaints.push(format!("HMB: a range is less than {smallest} pages"));
        }
        let former = self.former_buffer.take();
        if command.dword(11) & RETURNED != 0 {
            self.journal.count("hmb_returned");
            let nothing = || Err("HMB: returned, but nothing was given".into());
            let done = former.map_or_else(nothing, |former| buffer.resume(former));
            let done = done.and_then(|()| buffer.check(&mut self.memory, &mut self.random));
            complaints.extend(done.err());
        }
        for complaint in complaints {
            self.journal.violation(complaint);
        }
        self.host_buffer = Some(buffer);
        Ok(Some(0))
    }

    /// Uses some pages of the buffer.
    pub(crate) fn exercise_host_buffer(&mut self) {
        let Some(buffer) = &mut self.host_buffer else {
            return;
        };
        for _ in 0..4 {
            self.journal.count("hmb_pages");
            if let Err(complaint) = buffer.exercise(&mut self.memory, &mut self.random) {
                self.journal.violation(complaint);
                self.host_buffer = None;
                return;
            }
        }
    }

    /// Checks the buffer before the host takes it back.
    pub(crate) fn check_host_buffer(&mut self) {
        if let Some(buffer) = &mut self.host_buffer {
            if let Err(complaint) = buffer.check(&mut self.memory, &mut self.random) {
                self.journal.violation(complaint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::Flat;

    fn buffer(ranges: &[(u64, u32)], pages: u32) -> (Flat, HostBuffer, Vec<String>) {
        let mut memory = Flat(vec![0; 0x1_0000]);
        for (index, (address, count)) in ranges.iter().enumerate() {
            let at = 16 * index as u64;
            memory.write(at, &address.to_le_bytes()).unwrap();
            memory.write(at + 8, &count.to_le_bytes()).unwrap();
        }
        let mut complaints = Vec::new();
        let entries = ranges.len() as u32;
        let buffer = HostBuffer::new(&memory, 0, entries, pages, 0x1000, &mut complaints);
        (memory, buffer.unwrap(), complaints)
    }

    #[test]
    fn an_honest_buffer_is_used() {
        let (mut memory, mut buffer, complaints) = buffer(&[(0x1000, 1), (0x4000, 2)], 3);
        assert_eq!((complaints.len(), buffer.pages()), (0, 3));
        let mut random = Random::new(0);
        for _ in 0..100 {
            buffer.exercise(&mut memory, &mut random).unwrap();
        }
        buffer.check(&mut memory, &mut random).unwrap();
        for page in [0x1000, 0x4000, 0x5000] {
            assert_ne!(memory.read_u64(page), Ok(0));
        }
        assert_eq!(memory.read_u64(0x2000), Ok(0));
    }

    #[test]
    fn a_page_that_the_host_has_changed_is_noticed() {
        let (mut memory, mut buffer, _) = buffer(&[(0x1000, 1)], 1);
        let mut random = Random::new(0);
        buffer.exercise(&mut memory, &mut random).unwrap();
        memory.write(0x1ff8, &[0; 8]).unwrap();
        assert!(buffer.check(&mut memory, &mut random).is_err());
    }

    #[test]
    fn a_wrong_layout_is_noticed() {
        for (ranges, pages) in [
            (&[(0x1000, 1)][..], 2),
            (&[(0x1200, 1)][..], 1),
            (&[(0x1000, 2), (0x2000, 1)][..], 3),
            (&[(0x1000, 1), (0x3000, 0)][..], 1),
        ] {
            assert_eq!(buffer(ranges, pages).2.len(), 1, "{ranges:x?}");
        }
    }
}
