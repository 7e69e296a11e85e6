// SPDX-License-Identifier: GPL-2.0

//! Scatter gather lists.

use super::{Piece, Refusal};
use crate::{command::Status, memory::Memory};

const DATA_BLOCK: u8 = 0x0;
const BIT_BUCKET: u8 = 0x1;
const SEGMENT: u8 = 0x2;
const LAST_SEGMENT: u8 = 0x3;
/// The most bytes of all segments that are read.
const LONGEST: usize = 1 << 20;

struct Descriptor {
    address: u64,
    length: usize,
    kind: u8,
}

fn parse(bytes: &[u8; 16]) -> Descriptor {
    Descriptor {
        address: u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|n| bytes[n])),
        length: u32::from_le_bytes([8, 9, 10, 11].map(|n| bytes[n])) as usize,
        kind: bytes[15] >> 4,
    }
}

/// Returns the pieces that the list behind one descriptor describes.
pub(super) fn pieces(
    memory: &dyn Memory,
    first: [u8; 16],
    length: usize,
) -> Result<Vec<Piece>, Refusal> {
    let mut found = Vec::new();
    let mut left = length;
    let mut segment = vec![first];
    let mut is_last = false;
    let mut budget = LONGEST;
    loop {
        let mut next = None;
        for (index, bytes) in segment.iter().enumerate() {
            let descriptor = parse(bytes);
            match descriptor.kind {
                DATA_BLOCK => {
                    if descriptor.length > left {
                        return Err(Refusal::new(
                            Status::SGL_LENGTH_INVALID,
                            format!("an SGL has {:#x} bytes too many", descriptor.length - left),
                        ));
                    }
                    left -= descriptor.length;
                    found.push(Piece {
                        address: descriptor.address,
                        length: descriptor.length,
                    });
                }
                SEGMENT | LAST_SEGMENT => {
                    let why = if index + 1 < segment.len() {
                        "is not the last descriptor"
                    } else if is_last {
                        "is in the last segment"
                    } else if descriptor.length == 0
                        || descriptor.length % 16 != 0
                        || descriptor.length > budget
                    {
                        "has a wrong length"
                    } else {
                        next = Some(descriptor);
                        continue;
                    };
                    return Err(Refusal::new(
                        Status::INVALID_SGL_SEGMENT,
                        format!("the SGL segment at {:#x} {why}", descriptor.address),
                    ));
                }
                kind => {
                    let name = if kind == BIT_BUCKET {
                        "bit bucket"
                    } else {
                        "?"
                    };
                    return Err(Refusal::new(
                        Status::SGL_TYPE_INVALID,
                        format!("an SGL descriptor has type {kind} ({name})"),
                    ));
                }
            }
        }
        let Some(descriptor) = next else { break };
        is_last = descriptor.kind == LAST_SEGMENT;
        budget -= descriptor.length;
        let mut bytes = vec![0; descriptor.length];
        (memory.read(descriptor.address, &mut bytes))
            .map_err(|_| Refusal::fault("SGL segment", descriptor.address))?;
        segment.clear();
        for part in bytes.chunks_exact(16) {
            let mut one = [0; 16];
            one.copy_from_slice(part);
            segment.push(one);
        }
    }
    if left > 0 {
        return Err(Refusal::new(
            Status::SGL_LENGTH_INVALID,
            format!("an SGL lacks {left:#x} bytes"),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::Flat;

    fn descriptor(address: u64, length: u32, kind: u8) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&address.to_le_bytes());
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes[15] = kind << 4;
        bytes
    }

    fn memory(segments: &[(u64, &[[u8; 16]])]) -> Flat {
        let mut memory = Flat(vec![0; 0x4000]);
        for (address, list) in segments {
            memory.write(*address, &list.concat()).unwrap();
        }
        memory
    }

    fn piece(address: u64, length: usize) -> Piece {
        Piece { address, length }
    }

    #[test]
    fn a_block_alone() {
        let found = pieces(&memory(&[]), descriptor(0x123, 0x45, 0), 0x45).unwrap();
        assert_eq!(found, [piece(0x123, 0x45)]);
    }

    #[test]
    fn segments_follow_each_other() {
        let memory = memory(&[
            (0x1000, &[descriptor(0x10, 7, 0), descriptor(0x2000, 32, 3)]),
            (0x2000, &[descriptor(0x20, 8, 0), descriptor(0x30, 9, 0)]),
        ]);
        let found = pieces(&memory, descriptor(0x1000, 32, 2), 24).unwrap();
        assert_eq!(found, [piece(0x10, 7), piece(0x20, 8), piece(0x30, 9)]);
    }

    #[test]
    fn the_length_has_to_fit() {
        for length in [0x44, 0x46] {
            let refusal = pieces(&memory(&[]), descriptor(0, 0x45, 0), length).unwrap_err();
            assert_eq!(refusal.status, Status::SGL_LENGTH_INVALID);
        }
    }

    #[test]
    fn segments_where_none_may_be_are_refused() {
        let memory = memory(&[
            (0x1000, &[descriptor(0x2000, 16, 3), descriptor(0x10, 8, 0)]),
            (0x2000, &[descriptor(0x1000, 16, 3)]),
        ]);
        for first in [
            descriptor(0x1000, 32, 3),
            descriptor(0x2000, 16, 3),
            descriptor(0x2000, 15, 3),
            descriptor(0x2000, 0, 3),
        ] {
            let refusal = pieces(&memory, first, 8).unwrap_err();
            assert_eq!(refusal.status, Status::INVALID_SGL_SEGMENT);
        }
    }

    #[test]
    fn a_list_that_never_ends_is_refused() {
        let memory = memory(&[(0x1000, &[descriptor(0x1000, 16, 2)])]);
        let refusal = pieces(&memory, descriptor(0x1000, 16, 2), 8).unwrap_err();
        assert_eq!(refusal.status, Status::INVALID_SGL_SEGMENT);
    }

    #[test]
    fn other_descriptors_are_refused() {
        let refusal = pieces(&memory(&[]), descriptor(0, 8, 1), 8).unwrap_err();
        assert_eq!(refusal.status, Status::SGL_TYPE_INVALID);
    }
}
