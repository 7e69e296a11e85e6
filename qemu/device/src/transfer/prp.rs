// SPDX-License-Identifier: GPL-2.0

//! Physical region pages.

use super::{Piece, Refusal};
use crate::{command::Status, memory::Memory};

/// Returns the pieces that two PRP entries describe.
pub(super) fn pieces(
    memory: &dyn Memory,
    first: u64,
    second: u64,
    length: usize,
    page: u64,
) -> Result<Vec<Piece>, Refusal> {
    let offset = |what: &str, entry: u64| {
        Refusal::new(Status::PRP_OFFSET_INVALID, format!("{what} is {entry:#x}"))
    };
    if first % 4 != 0 {
        return Err(offset("PRP1", first));
    }
    let mut found = vec![Piece {
        address: first,
        length: length.min((page - first % page) as usize),
    }];
    let mut left = length - found[0].length;
    if left == 0 {
        return Ok(found);
    }
    if left as u64 <= page {
        if second % page != 0 {
            return Err(offset("PRP2", second));
        }
        found.push(Piece {
            address: second,
            length: left,
        });
        return Ok(found);
    }
    if second % 8 != 0 {
        return Err(offset("PRP2, a list,", second));
    }
    let mut list = second;
    while left > 0 {
        let mut entry = (memory.read_u64(list)).map_err(|_| Refusal::fault("PRP list", list))?;
        if (list + 8) % page == 0 && left as u64 > page {
            // The last entry of a page points to the next page of the list, if there is one.
            if entry % page != 0 {
                return Err(offset("the pointer to the next PRP list", entry));
            }
            list = entry;
            entry = (memory.read_u64(list)).map_err(|_| Refusal::fault("PRP list", list))?;
        }
        if entry % page != 0 {
            return Err(offset("an entry of a PRP list", entry));
        }
        let size = left.min(page as usize);
        found.push(Piece {
            address: entry,
            length: size,
        });
        left -= size;
        list += 8;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::Flat;

    fn piece(address: u64, length: usize) -> Piece {
        Piece { address, length }
    }

    fn list(memory: &mut Flat, at: u64, entries: impl Iterator<Item = u64>) {
        for (index, entry) in entries.enumerate() {
            let at = at + 8 * index as u64;
            memory.write(at, &entry.to_le_bytes()).unwrap();
        }
    }

    #[test]
    fn one_and_two_entries() {
        let memory = Flat(Vec::new());
        assert_eq!(
            pieces(&memory, 0x1200, 0, 0xe00, 0x1000).unwrap(),
            [piece(0x1200, 0xe00)]
        );
        assert_eq!(
            pieces(&memory, 0x1200, 0x5000, 0x1e00, 0x1000).unwrap(),
            [piece(0x1200, 0xe00), piece(0x5000, 0x1000)]
        );
    }

    #[test]
    fn a_list_goes_on_in_the_next_page() {
        let mut memory = Flat(vec![0; 0x4000]);
        // Two entries are left in the first page: a page, and the pointer.
        list(&mut memory, 0x1ff0, [0x10_0000, 0x2000].into_iter());
        list(&mut memory, 0x2000, [0x20_0000, 0x30_0000].into_iter());
        assert_eq!(
            pieces(&memory, 0x8000, 0x1ff0, 0x3800, 0x1000).unwrap(),
            [
                piece(0x8000, 0x1000),
                piece(0x10_0000, 0x1000),
                piece(0x20_0000, 0x1000),
                piece(0x30_0000, 0x800)
            ]
        );
    }

    #[test]
    fn the_last_entry_of_a_page_is_data_if_it_is_the_last_of_all() {
        let mut memory = Flat(vec![0; 0x4000]);
        list(&mut memory, 0x1ff0, [0x10_0000, 0x20_0000].into_iter());
        let found = pieces(&memory, 0x8000, 0x1ff0, 0x3000, 0x1000).unwrap();
        assert_eq!(found[2], piece(0x20_0000, 0x1000));
    }

    #[test]
    fn large_pages_are_larger() {
        let memory = Flat(Vec::new());
        assert_eq!(
            pieces(&memory, 0x1_2000, 0, 0xe000, 0x1_0000).unwrap(),
            [piece(0x1_2000, 0xe000)]
        );
    }

    #[test]
    fn what_is_not_aligned_is_refused() {
        let mut memory = Flat(vec![0; 0x4000]);
        list(&mut memory, 0x1000, [0x10_0200, 0x20_0000].into_iter());
        for (first, second, length) in [
            (0x1001, 0, 0x200),
            (0x1000, 0x2200, 0x2000),
            (0x1000, 0x2004, 0x3000),
            (0x8000, 0x1000, 0x3000),
        ] {
            let refusal = pieces(&memory, first, second, length, 0x1000).unwrap_err();
            assert_eq!(refusal.status, Status::PRP_OFFSET_INVALID);
        }
    }

    #[test]
    fn a_list_outside_of_memory_is_refused() {
        let memory = Flat(Vec::new());
        let refusal = pieces(&memory, 0, 0x1000, 0x3000, 0x1000).unwrap_err();
        assert_eq!(refusal.status, Status::DATA_TRANSFER_ERROR);
    }
}
