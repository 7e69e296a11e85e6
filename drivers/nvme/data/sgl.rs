// SPDX-License-Identifier: GPL-2.0

//! Scatter Gather Lists (SGLs): pointers to data or metadata, made of descriptors with a length (base
//! specification, section 4.1.2).
//!
//! It runs for each command; it does not sleep. Lists come from a `ListSource`.

use super::lists::{
    List,
    ListSource,
    LARGE,
    SMALL, //
};
use kernel::prelude::*;
use kernel_ext::block::mq::{
    Segment,
    Status, //
};

/// The number of 64-bit words of a descriptor.
const WORDS: usize = 2;

/// The largest number of segments of data: their descriptors fill one list.
pub(crate) const MAX_SEGMENTS: usize = LARGE / WORDS;

/// The largest number of segments of metadata: their descriptors, and the one that points to them, fill
/// a small list.
pub(crate) const MAX_METADATA_SEGMENTS: usize = SMALL / WORDS - 1;

/// An SGL descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor([u64; WORDS]);

impl Descriptor {
    /// SGL Data Block descriptor: points to data.
    const DATA_BLOCK: u8 = 0x0;
    /// SGL Last Segment descriptor: points to the last list of descriptors.
    const LAST_SEGMENT: u8 = 0x3;

    /// Address in bytes 0 to 7, length in bytes 8 to 11, type in the upper half of byte 15.
    const fn new(kind: u8, address: u64, len: u32) -> Self {
        Self([address, len as u64 | (kind as u64) << 60])
    }

    /// Returns the descriptor of `segment`.
    #[inline]
    pub(crate) fn data(segment: Segment) -> Self {
        Self::new(Self::DATA_BLOCK, segment.addr, segment.len)
    }

    /// Returns the two words that go into a command.
    #[inline]
    pub(crate) fn words(self) -> [u64; WORDS] {
        self.0
    }

    #[inline]
    fn write(self, list: &mut impl List, index: usize) {
        let at = index.wrapping_mul(WORDS);
        list.write(at, self.0[0]);
        list.write(at.wrapping_add(1), self.0[1]);
    }
}

/// Builds the descriptor for the data pointer of a command whose data has at most `at_most` segments.
/// If that is more than one, the descriptor points to a list, which goes into `slot`.
///
/// `RESOURCE` if there is no memory for the list; `IOERR` if there are more segments, or none.
#[inline]
pub(crate) fn build<S: ListSource>(
    source: &S,
    slot: &mut Option<S::List>,
    segments: &mut impl Iterator<Item = Segment>,
    at_most: usize,
) -> Result<Descriptor, Status> {
    if at_most == 1 {
        return only(segments).map(Descriptor::data);
    }
    let list = slot.insert(list_for(source, at_most)?);
    fill(list, 0, segments, at_most)
}

/// Builds an SGL for the metadata pointer of a command, in a list that goes into `slot`. Returns
/// its address. Errors are those of [`build`].
pub(crate) fn build_metadata<S: ListSource>(
    source: &S,
    slot: &mut Option<S::List>,
    segments: &mut impl Iterator<Item = Segment>,
    at_most: usize,
) -> Result<u64, Status> {
    let list = slot.insert(list_for(source, at_most.wrapping_add(1))?);
    let first = if at_most == 1 {
        Descriptor::data(only(segments)?)
    } else {
        fill(list, 1, segments, at_most)?
    };
    first.write(list, 0);
    Ok(list.address())
}

/// Returns the only one of `segments`; `IOERR` if there is none, or more than one.
#[inline]
pub(crate) fn only(segments: &mut impl Iterator<Item = Segment>) -> Result<Segment, Status> {
    match (segments.next(), segments.next()) {
        (Some(segment), None) => Ok(segment),
        _ => Err(Status::IOERR),
    }
}

/// Takes a list for `count` descriptors.
fn list_for<S: ListSource>(source: &S, count: usize) -> Result<S::List, Status> {
    let words = count.wrapping_mul(WORDS);
    if words > LARGE {
        return Err(Status::IOERR);
    }
    source.alloc(words).map_err(|_| Status::RESOURCE)
}

/// Writes the descriptors of `segments` to `list`, from number `first` on. Returns the descriptor that
/// points to them.
fn fill(
    list: &mut impl List,
    first: usize,
    segments: &mut impl Iterator<Item = Segment>,
    at_most: usize,
) -> Result<Descriptor, Status> {
    let mut count = 0_usize;
    for segment in segments {
        if count == at_most {
            return Err(Status::IOERR);
        }
        Descriptor::data(segment).write(list, first.wrapping_add(count));
        count = count.wrapping_add(1);
    }
    if count == 0 {
        return Err(Status::IOERR);
    }
    let size = size_of::<Descriptor>();
    let address = list.address().wrapping_add(first.wrapping_mul(size) as u64);
    let len = count.wrapping_mul(size) as u32;
    Ok(Descriptor::new(Descriptor::LAST_SEGMENT, address, len))
}

#[kunit_tests(nvme_rs_sgl)]
mod tests {
    use super::*;
    use crate::data::lists::{
        testing::Memory,
        Lists, //
    };

    /// Returns `count` segments, each of another length.
    fn scattered(count: usize) -> impl Iterator<Item = Segment> {
        (0..count).map(|i| Segment {
            addr: 0x12_3456_7000 + 0x1_0004 * i as u64,
            len: 4 * (i as u32 + 1),
        })
    }

    /// Bytes 8 to 11 and byte 15 of a descriptor.
    fn len_and_type(word: u64) -> (u32, u8) {
        (word as u32, (word >> 56) as u8)
    }

    /// Reads the descriptors of `count` segments, as a controller does (section 4.1.2).
    fn describes(list: &impl List, first: usize, count: usize) -> bool {
        scattered(count).enumerate().all(|(i, segment)| {
            let at = 2 * (first + i);
            list.read(at) == segment.addr && len_and_type(list.read(at + 1)) == (segment.len, 0)
        })
    }

    #[test]
    fn one_segment_takes_no_list() {
        let memory = Memory::of(0);
        let mut slot = None;
        let segment = Segment {
            addr: 0x0102_0304_0506_0708,
            len: 0x1112_1314,
        };
        let built = build(&memory, &mut slot, &mut [segment].into_iter(), 1);
        let words = built.map(Descriptor::words);
        assert_eq!(words, Ok([0x0102_0304_0506_0708, 0x1112_1314]));
        assert!(slot.is_none());
    }

    #[test]
    fn more_segments_take_a_list_that_fits() {
        let memory = Memory::of(1);
        for (count, size) in [(2, SMALL), (16, SMALL), (17, LARGE), (256, LARGE)] {
            let mut lists = Lists::default();
            let slot = &mut lists.data[0];
            let built = build(&memory, slot, &mut scattered(count), count);
            let good = slot.as_ref().is_some_and(|list| {
                let last = built.map(Descriptor::words);
                let [address, rest] = last.unwrap_or_default();
                list.words() == size
                    && address == list.address()
                    && len_and_type(rest) == (16 * count as u32, 0x30)
                    && describes(list, 0, count)
            });
            assert!(good);
            lists.free(&memory);
        }
    }

    #[test]
    fn fewer_segments_than_expected_are_described() {
        let memory = Memory::of(1);
        let mut lists = Lists::default();
        let built = build(&memory, &mut lists.data[0], &mut scattered(2), 5);
        let rest = built.map(|last| len_and_type(last.words()[1]));
        assert_eq!(rest, Ok((32, 0x30)));
        lists.free(&memory);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn more_segments_than_expected_are_refused() {
        let memory = Memory::of(1);
        for (count, at_most) in [(2, 1), (0, 1), (0, 2), (3, 2), (257, 257), (33, 32)] {
            let mut lists = Lists::default();
            let built = build(&memory, &mut lists.data[0], &mut scattered(count), at_most);
            assert_eq!(built, Err(Status::IOERR));
            lists.free(&memory);
        }
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn metadata_has_its_first_descriptor_in_the_list() {
        let memory = Memory::of(1);
        for count in 1..=MAX_METADATA_SEGMENTS {
            let mut lists = Lists::default();
            let slot = &mut lists.metadata;
            let built = build_metadata(&memory, slot, &mut scattered(count), count);
            let good = slot.as_ref().is_some_and(|list| {
                let first = (list.read(0), len_and_type(list.read(1)));
                list.words() == SMALL
                    && built == Ok(list.address())
                    && if count == 1 {
                        describes(list, 0, 1)
                    } else {
                        first == (list.address() + 16, (16 * count as u32, 0x30))
                            && describes(list, 1, count)
                    }
            });
            assert!(good);
            lists.free(&memory);
        }
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn lists_run_out() {
        let memory = Memory::of(0);
        let mut slot = None;
        let built = build(&memory, &mut slot, &mut scattered(2), 2);
        assert_eq!(built, Err(Status::RESOURCE));
        let built = build_metadata(&memory, &mut slot, &mut scattered(1), 1);
        assert_eq!(built, Err(Status::RESOURCE));
    }
}
