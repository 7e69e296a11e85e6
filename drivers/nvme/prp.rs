// SPDX-License-Identifier: GPL-2.0

//! Physical Region Pages: where a command's data is (base specification, section 4.1.1).

use kernel::sync::Arc;
use kernel_ext::{
    block::mq::{
        Segment,
        Status, //
    },
    dma::{
        Block,
        Pool, //
    },
};

/// The memory page size that the controller is told (CC.MPS = 0), in bytes.
pub(crate) const PAGE_SIZE: u32 = 4096;

/// How many entries a PRP list page holds.
const ENTRIES: usize = PAGE_SIZE as usize / size_of::<u64>();

/// How many list pages a command may need: the last entry of each but the last points to the next.
const MAX_LISTS: usize = 5;

/// The largest transfer, in bytes; the most that the list pages reach, rounded down.
pub(crate) const MAX_BYTES: u32 = 8 << 20;

const _: () = assert!(
    // Unaligned, the data touches one page more; the first page is in PRP entry 1.
    (MAX_BYTES / PAGE_SIZE) as usize <= (ENTRIES - 1) * (MAX_LISTS - 1) + ENTRIES
);

/// A page of PRP entries.
type List = Block<ENTRIES>;

/// Where list pages come from.
pub(crate) type ListPool = Pool<ENTRIES>;

/// The list pages of one command.
#[derive(Default)]
pub(crate) struct Lists {
    pages: [Option<List>; MAX_LISTS],
}

impl Lists {
    /// Gives the pages back to the pool that they are from.
    #[inline]
    pub(crate) fn free(&mut self, pool: &ListPool) {
        for page in &mut self.pages {
            // Pages are filled in order, and most commands have none.
            let Some(page) = page.take() else { break };
            pool.free(page);
        }
    }
}

/// Builds the PRP entries of a command from the segments of its data.
pub(crate) struct Builder<'a> {
    pool: &'a Arc<ListPool>,
    prp1: u64,
    prp2: u64,
    /// How many pages the data touches so far.
    pages: u32,
    /// Whether the data so far ends within a page, so that nothing can follow.
    ended: bool,
    /// The list page that is being filled, and how far.
    list: usize,
    filled: usize,
}

impl<'a> Builder<'a> {
    /// A builder that takes its list pages from `pool`.
    #[inline]
    pub(crate) fn new(pool: &'a Arc<ListPool>) -> Self {
        Self {
            pool,
            prp1: 0,
            prp2: 0,
            pages: 0,
            ended: false,
            list: 0,
            filled: 0,
        }
    }

    /// Adds a segment. `RESOURCE` if there is no memory for a list page; `IOERR` if the segment
    /// leaves a gap in a page, or the data is larger than [`MAX_BYTES`], which the limits of the
    /// request queue exclude.
    #[inline]
    pub(crate) fn push(&mut self, lists: &mut Lists, segment: Segment) -> Result<(), Status> {
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

    /// PRP entries 1 and 2 of the command.
    #[inline]
    pub(crate) fn finish(self) -> (u64, u64) {
        (self.prp1, self.prp2)
    }

    /// Adds one page of data.
    #[inline]
    fn page(&mut self, lists: &mut Lists, addr: u64) -> Result<(), Status> {
        match self.pages {
            0 => self.prp1 = addr,
            1 => self.prp2 = addr,
            2 => {
                // A third page: entry 2 becomes the address of a list with the second and third.
                let second = self.prp2;
                let mut first = self.pool.alloc().map_err(|_| Status::RESOURCE)?;
                first.write(0, second);
                first.write(1, addr);
                self.prp2 = first.dma_address();
                self.filled = 2;
                lists.pages[0] = Some(first);
            }
            _ => self.entry(lists, addr)?,
        }
        self.pages = self.pages.wrapping_add(1);
        Ok(())
    }

    /// Adds an entry to the list, which has some already.
    fn entry(&mut self, lists: &mut Lists, addr: u64) -> Result<(), Status> {
        let next = self.list.wrapping_add(1);
        if self.filled == ENTRIES {
            if next >= MAX_LISTS {
                return Err(Status::IOERR);
            }
            // The page is full: its last entry moves to a new page and points there.
            let mut page = self.pool.alloc().map_err(|_| Status::RESOURCE)?;
            if let Some(full) = &mut lists.pages[self.list] {
                page.write(0, full.read(ENTRIES - 1));
                full.write(ENTRIES - 1, page.dma_address());
            }
            lists.pages[next] = Some(page);
            self.list = next;
            self.filled = 1;
        }
        if let Some(page) = &mut lists.pages[self.list] {
            page.write(self.filled, addr);
        }
        self.filled = self.filled.wrapping_add(1);
        Ok(())
    }
}
