// SPDX-License-Identifier: GPL-2.0

//! Physical Region Pages (PRPs): a data pointer made of page addresses (base specification, section
//! 4.1.1).
//!
//! It runs for each command; it does not sleep. Lists come from a `ListSource`.

use super::lists::{
    List,
    ListSource,
    Lists,
    LARGE,
    MAX_LISTS, //
};
use crate::spec::PAGE_SIZE;
use kernel::prelude::*;
use kernel_ext::block::mq::{
    Segment,
    Status, //
};

/// The number of entries of a PRP list that fills a page. The last entry points to the next list, if
/// there is one.
const ENTRIES: usize = LARGE;

const _: () = assert!(ENTRIES * size_of::<u64>() == PAGE_SIZE as usize);

/// The largest transfer, in bytes: what [`MAX_LISTS`] lists can describe, rounded down.
pub(crate) const MAX_BYTES: u32 = 8 << 20;

const _: () = assert!(
    // Unaligned data touches one page more; but PRP entry 1 describes the first page.
    (MAX_BYTES / PAGE_SIZE) as usize <= (ENTRIES - 1) * (MAX_LISTS - 1) + ENTRIES
);

/// Returns PRP entries 1 and 2 of a command, if `segment` is all of its data and touches no more than
/// two pages: then it needs no list.
#[inline]
pub(crate) fn short(segment: Segment) -> Option<(u64, u64)> {
    let offset = segment.addr % u64::from(PAGE_SIZE);
    let end = offset.wrapping_add(segment.len.into());
    if end <= u64::from(PAGE_SIZE) {
        Some((segment.addr, 0))
    } else if end <= u64::from(2 * PAGE_SIZE) {
        let first = segment.addr.wrapping_sub(offset);
        Some((segment.addr, first.wrapping_add(PAGE_SIZE.into())))
    } else {
        None
    }
}

/// Builds PRP entries 1 and 2 of a command from the segments of its data, with `bytes` bytes in all.
///
/// `RESOURCE` if there is no memory for a list; `IOERR` if there is a gap in a page between the
/// segments, or if they have more than `bytes` bytes or than the lists can describe. The limits of the
/// request queue exclude that.
#[inline]
pub(crate) fn build<S: ListSource>(
    source: &S,
    lists: &mut Lists<S>,
    segments: impl Iterator<Item = Segment>,
    bytes: u32,
) -> Result<(u64, u64), Status> {
    let mut builder = Builder::new(source, bytes);
    for segment in segments {
        builder.push(lists, segment)?;
    }
    Ok((builder.prp1, builder.prp2))
}

/// PRP entries that are being built.
struct Builder<'a, S: ListSource> {
    source: &'a S,
    /// The length of the data.
    bytes: u32,
    prp1: u64,
    prp2: u64,
    /// The number of pages that the data has touched so far.
    pages: u32,
    /// Whether the last segment ended within a page, so that no other can follow.
    ended: bool,
    /// The number of the list that is being filled.
    list: usize,
    /// The number of its entries that have been filled.
    filled: usize,
    /// The number of its entries.
    room: usize,
}

impl<'a, S: ListSource> Builder<'a, S> {
    #[inline]
    fn new(source: &'a S, bytes: u32) -> Self {
        Self {
            source,
            bytes,
            prp1: 0,
            prp2: 0,
            pages: 0,
            ended: false,
            list: 0,
            filled: 0,
            room: 0,
        }
    }

    /// Adds a segment.
    #[inline]
    fn push(&mut self, lists: &mut Lists<S>, segment: Segment) -> Result<(), Status> {
        let mut addr = segment.addr;
        let mut left = segment.len;
        while left > 0 {
            let offset = (addr % u64::from(PAGE_SIZE)) as u32;
            if self.ended || (self.pages > 0 && offset != 0) {
                return Err(Status::IOERR);
            }
            let len = left.min(PAGE_SIZE.wrapping_sub(offset));
            self.page(lists, addr)?;
            self.ended = offset.wrapping_add(len) != PAGE_SIZE;
            addr = addr.wrapping_add(u64::from(len));
            left = left.wrapping_sub(len);
        }
        Ok(())
    }

    /// Adds one page of data.
    #[inline]
    fn page(&mut self, lists: &mut Lists<S>, addr: u64) -> Result<(), Status> {
        match self.pages {
            0 => self.prp1 = addr,
            1 => self.prp2 = addr,
            2 => {
                // A third page: entry 2 becomes the address of a list with the second and third.
                let second = self.prp2;
                let mut first = self.list_of(self.entries())?;
                first.write(0, second);
                first.write(1, addr);
                self.prp2 = first.address();
                self.filled = 2;
                self.room = first.words();
                lists.data[0] = Some(first);
            }
            _ => self.entry(lists, addr)?,
        }
        self.pages = self.pages.wrapping_add(1);
        Ok(())
    }

    /// Returns how many list entries the data needs, without those that point to a next list.
    fn entries(&self) -> usize {
        let before = (self.prp1 % u64::from(PAGE_SIZE)) as usize;
        (self.bytes as usize)
            .wrapping_add(before)
            .div_ceil(PAGE_SIZE as usize)
            .saturating_sub(1)
    }

    /// Takes a list for `entries` entries, or the largest one if they do not fit in one list.
    fn list_of(&self, entries: usize) -> Result<S::List, Status> {
        self.source
            .alloc(entries.min(ENTRIES))
            .map_err(|_| Status::RESOURCE)
    }

    /// Adds an entry to the list, which is not empty. Not inlined, so that the code for short transfers
    /// is.
    #[inline(never)]
    fn entry(&mut self, lists: &mut Lists<S>, addr: u64) -> Result<(), Status> {
        let next = self.list.wrapping_add(1);
        if self.filled == self.room {
            // Only a list that fills its page can point to a next one.
            if self.room != ENTRIES || next >= MAX_LISTS {
                return Err(Status::IOERR);
            }
            // Its last entry moves to the next list and points there.
            let mut list = self.list_of(ENTRIES)?;
            let Some(Some(full)) = lists.data.get_mut(self.list) else {
                return Err(Status::IOERR);
            };
            list.write(0, full.read(ENTRIES - 1));
            full.write(ENTRIES - 1, list.address());
            lists.data[next] = Some(list);
            self.list = next;
            self.filled = 1;
        }
        let Some(Some(list)) = lists.data.get_mut(self.list) else {
            return Err(Status::IOERR);
        };
        list.write(self.filled, addr);
        self.filled = self.filled.wrapping_add(1);
        Ok(())
    }
}

#[kunit_tests(nvme_rs_prp)]
mod tests {
    use super::*;
    use crate::data::lists::{
        testing::Memory,
        SMALL, //
    };

    /// The address at which data begins, above 32 bits.
    const DATA: u64 = 0x12_3456_7000;
    const PAGE: u64 = PAGE_SIZE as u64;

    /// Reads `len` bytes of data by PRP entries, as a controller does (section 4.1.1). Passes each piece
    /// to `each`, until that returns that it is wrong.
    fn read(
        (prp1, prp2): (u64, u64),
        lists: &Lists<Memory>,
        len: u64,
        mut each: impl FnMut(u64, u64) -> bool,
    ) -> bool {
        let find = |address| {
            let mut all = lists.data.iter().flatten();
            all.find(|list| list.address() == address)
        };
        let first = len.min(PAGE - prp1 % PAGE);
        let mut left = len - first;
        if !each(prp1, first) {
            return false;
        }
        if left <= PAGE {
            return left == 0 || each(prp2, left);
        }
        let Some(mut list) = find(prp2) else {
            return false;
        };
        let mut index = 0;
        while left > 0 {
            let entry = list.read(index);
            if index == ENTRIES - 1 && left > PAGE {
                let Some(next) = find(entry) else {
                    return false;
                };
                (list, index) = (next, 0);
                continue;
            }
            let piece = left.min(PAGE);
            if entry % PAGE != 0 || !each(entry, piece) {
                return false;
            }
            left -= piece;
            index += 1;
        }
        true
    }

    /// Builds the PRP entries of `segments`, and reads them. Returns how many list pages they
    /// need; `None` if the data read are not those of the segments, or if a list page is not given back.
    fn lists_of(memory: &Memory, segments: &[Segment]) -> Result<Option<usize>, Status> {
        let mut lists = Lists::default();
        let len = segments.iter().map(|segment| u64::from(segment.len)).sum();
        let built = build(memory, &mut lists, segments.iter().copied(), len as u32);
        let used = memory.used();

        let mut rest = segments.iter();
        let (mut addr, mut left) = (0, 0);
        let same = built.is_ok_and(|prps| {
            read(prps, &lists, len, |at, piece| {
                if left == 0 {
                    if let Some(segment) = rest.next() {
                        (addr, left) = (segment.addr, u64::from(segment.len));
                    }
                }
                let same = at == addr && piece <= left;
                addr += piece;
                left = left.saturating_sub(piece);
                same
            })
        });
        lists.free(memory);
        built.map(|_| (same && memory.used() == 0).then_some(used))
    }

    /// As [`lists_of`], for `len` bytes at `offset` in a page, in one segment.
    fn lists_of_one(memory: &Memory, offset: u64, len: u64) -> Result<Option<usize>, Status> {
        let segment = Segment {
            addr: DATA + offset,
            len: len as u32,
        };
        lists_of(memory, &[segment])
    }

    #[test]
    fn short_data_at_every_alignment() -> Result {
        let memory = Memory::of(5);
        for offset in (0..PAGE).step_by(4) {
            let to_end = PAGE - offset;
            // Within a page, up to its end, and a part or all of the next one: no list.
            assert_eq!(lists_of_one(&memory, offset, 4), Ok(Some(0)));
            assert_eq!(lists_of_one(&memory, offset, to_end), Ok(Some(0)));
            assert_eq!(lists_of_one(&memory, offset, to_end + 4), Ok(Some(0)));
            assert_eq!(lists_of_one(&memory, offset, to_end + PAGE), Ok(Some(0)));
            // A part or all of a third page.
            assert_eq!(
                lists_of_one(&memory, offset, to_end + PAGE + 4),
                Ok(Some(1))
            );
            assert_eq!(
                lists_of_one(&memory, offset, to_end + 2 * PAGE),
                Ok(Some(1))
            );
        }
        Ok(())
    }

    #[test]
    fn short_data_needs_no_builder() {
        let memory = Memory::of(1);
        for offset in (0..PAGE).step_by(4) {
            let to_end = (PAGE - offset) as u32;
            for len in [4, to_end, to_end + 4, to_end + PAGE_SIZE] {
                let data = Segment {
                    addr: DATA + offset,
                    len,
                };
                let mut lists = Lists::default();
                let built = build(&memory, &mut lists, [data].into_iter(), len);
                assert_eq!(short(data), built.ok());
            }
            let data = Segment {
                addr: DATA + offset,
                len: to_end + PAGE_SIZE + 4,
            };
            assert_eq!(short(data), None);
        }
    }

    #[test]
    fn lists_are_chained_where_a_page_is_full() -> Result {
        let memory = Memory::of(5);
        // The number of pages that the data touches, and of list pages that it needs: PRP entry 1
        // describes the first page, and each list page but the last has 511 entries for data.
        let cases = [
            (1, 0),
            (2, 0),
            (3, 1),
            (512, 1),
            (513, 1),
            (514, 2),
            (515, 2),
            (1024, 2),
            (1025, 3),
            (1535, 3),
            (1536, 4),
            (2046, 4),
            (2047, 5),
            (2049, 5),
            (2557, 5),
        ];
        for (pages, lists) in cases {
            for offset in [0, 4, 512, PAGE - 4] {
                // All of the last page, slightly less, and its smallest part.
                let most = pages * PAGE - offset;
                let least = most.saturating_sub(PAGE - 4).max(4);
                assert_eq!(lists_of_one(&memory, offset, most), Ok(Some(lists)));
                assert_eq!(
                    lists_of_one(&memory, offset, most.max(8) - 4),
                    Ok(Some(lists))
                );
                assert_eq!(lists_of_one(&memory, offset, least), Ok(Some(lists)));
            }
        }
        Ok(())
    }

    #[test]
    fn few_entries_take_a_small_list() {
        let memory = Memory::of(1);
        for (pages, words) in [(3, SMALL), (33, SMALL), (34, LARGE), (513, LARGE)] {
            for (offset, bytes) in [(0, pages * PAGE_SIZE), (4, (pages - 1) * PAGE_SIZE)] {
                let mut lists = Lists::default();
                let data = Segment {
                    addr: DATA + offset,
                    len: bytes,
                };
                let built = build(&memory, &mut lists, [data].into_iter(), bytes);
                assert!(built.is_ok());
                let got = lists.data[0].as_ref().map(|list| list.words());
                assert_eq!(got, Some(words));
                lists.free(&memory);
            }
        }
    }

    #[test]
    fn more_data_than_was_said_is_refused() {
        let memory = Memory::of(5);
        for (said, is) in [(3, 34), (33, 513), (1, 34)] {
            let mut lists = Lists::default();
            let data = Segment {
                addr: DATA,
                len: is * PAGE_SIZE,
            };
            let built = build(&memory, &mut lists, [data].into_iter(), said * PAGE_SIZE);
            assert_eq!(built, Err(Status::IOERR));
            lists.free(&memory);
        }
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn takes_the_largest_transfer_at_every_alignment() -> Result {
        let memory = Memory::of(5);
        for offset in [0, 4, 8, 512, 1024, 2048, 3584, PAGE - 4] {
            assert_eq!(lists_of_one(&memory, offset, MAX_BYTES.into()), Ok(Some(5)));
        }
        // One page more than the list pages can describe.
        assert_eq!(
            lists_of_one(&memory, 0, 2557 * PAGE + 4),
            Err(Status::IOERR)
        );
        assert_eq!(lists_of_one(&memory, 4, 2557 * PAGE), Err(Status::IOERR));
        Ok(())
    }

    /// Returns `pages` pages in segments of `step` pages each, the later ones at lower addresses, the
    /// first without its first `before` bytes, the last without its last `behind` bytes.
    fn scattered(pages: u32, step: u32, before: u32, behind: u32) -> Result<KVec<Segment>> {
        let mut segments = KVec::with_capacity(pages as usize, GFP_KERNEL)?;
        let mut rest = pages;
        while rest > 0 {
            let count = rest.min(step);
            rest -= count;
            let mut segment = Segment {
                addr: DATA + u64::from(rest) * 2 * PAGE,
                len: count * PAGE_SIZE,
            };
            if segments.is_empty() {
                segment.addr += u64::from(before);
                segment.len -= before;
            }
            if rest == 0 {
                segment.len -= behind;
            }
            segments.push(segment, GFP_KERNEL)?;
        }
        Ok(segments)
    }

    #[test]
    fn segments_are_put_together() -> Result {
        let memory = Memory::of(5);
        for pages in [2, 3, 4, 513, 514, 2048] {
            for step in [1, 3, 512, 513] {
                for (before, behind) in [(0, 0), (512, 0), (0, 512), (4092, 4092), (4, 2048)] {
                    let segments = scattered(pages, step, before, behind)?;
                    assert!(matches!(lists_of(&memory, &segments), Ok(Some(_))));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn gaps_are_refused() -> Result {
        let memory = Memory::of(5);
        let gap = |first: (u64, u32), second: (u64, u32)| {
            let segment = |(addr, len)| Segment { addr, len };
            lists_of(&memory, &[segment(first), segment(second)])
        };
        // The first segment ends within a page, even if the second goes on there.
        assert_eq!(gap((DATA, 512), (DATA + PAGE, 512)), Err(Status::IOERR));
        assert_eq!(gap((DATA, 512), (DATA + 512, 512)), Err(Status::IOERR));
        assert_eq!(
            gap((DATA, 3 * PAGE_SIZE - 4), (DATA + 9 * PAGE, 4)),
            Err(Status::IOERR)
        );
        // The second begins within a page.
        assert_eq!(
            gap((DATA, PAGE_SIZE), (DATA + PAGE + 4, 4)),
            Err(Status::IOERR)
        );
        assert_eq!(
            gap((DATA + 512, PAGE_SIZE - 512), (DATA + PAGE, 4)),
            Ok(Some(0))
        );
        Ok(())
    }

    #[test]
    fn lists_run_out() -> Result {
        let segments = scattered(2048, 1, 0, 0)?;
        for lists in 0..5 {
            let memory = Memory::of(lists);
            assert_eq!(lists_of(&memory, &segments), Err(Status::RESOURCE));
            // What was taken is given back.
            assert_eq!(memory.used(), 0);
        }
        assert_eq!(lists_of(&Memory::of(5), &segments), Ok(Some(5)));
        Ok(())
    }
}
