// SPDX-License-Identifier: GPL-2.0

//! Doorbells.

/// A doorbell: that of a submission queue's tail, or of a completion queue's head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Doorbell {
    /// SQyTDBL.
    Tail(u16),
    /// CQyHDBL.
    Head(u16),
}

impl Doorbell {
    /// Returns the doorbell at an offset from the first one, if CAP.DSTRD is `stride`.
    pub fn at(offset: u64, stride: u8) -> Option<Doorbell> {
        let distance = 4 << stride;
        let number = offset / distance;
        let queue = u16::try_from(number / 2).ok()?;
        match (offset % distance, number % 2) {
            (0, 0) => Some(Doorbell::Tail(queue)),
            (0, _) => Some(Doorbell::Head(queue)),
            _ => None,
        }
    }

    /// Returns the offset of the doorbell from the first one.
    pub fn offset(self, stride: u8) -> u64 {
        let number = match self {
            Doorbell::Tail(queue) => 2 * u64::from(queue),
            Doorbell::Head(queue) => 2 * u64::from(queue) + 1,
        };
        number * (4 << stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stride_is_the_distance() {
        assert_eq!(Doorbell::at(0x00, 0), Some(Doorbell::Tail(0)));
        assert_eq!(Doorbell::at(0x0c, 0), Some(Doorbell::Head(1)));
        assert_eq!(Doorbell::at(0x02, 0), None);
        assert_eq!(Doorbell::at(0x30, 2), Some(Doorbell::Head(1)));
        assert_eq!(Doorbell::at(0x0c, 2), None);
        assert_eq!(Doorbell::at(8 * 0x1_0000, 0), None);
    }

    #[test]
    fn offsets_lead_back() {
        for stride in 0..8 {
            for doorbell in [Doorbell::Tail(0), Doorbell::Head(0), Doorbell::Head(77)] {
                assert_eq!(
                    Doorbell::at(doorbell.offset(stride), stride),
                    Some(doorbell)
                );
            }
        }
    }
}
