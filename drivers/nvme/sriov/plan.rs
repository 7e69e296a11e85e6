// SPDX-License-Identifier: GPL-2.0

//! Who gets what: dividing a primary controller's flexible resources among its VFs.
//!
//! Pure arithmetic, without a device and without the kernel, so that it is tested by itself:
//! `rustc --test drivers/nvme/sriov/plan.rs`.

/// The flexible resources of one kind, queues (VQ) or interrupts (VI).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    /// How many can be given to VFs.
    pub(crate) free: u32,
    /// The most that one VF can have; 0 if the controller sets no limit.
    pub(crate) per_vf_max: u16,
    /// What a VF has should be a multiple of this; 0 and 1 mean any number.
    pub(crate) granularity: u16,
    /// The least that a VF needs to work.
    pub(crate) minimum: u16,
}

/// Why a pool cannot be divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// How many resources the VFs need at least.
    pub(crate) needed: u32,
    /// How many there are for them.
    pub(crate) free: u32,
}

impl Pool {
    /// The equal share of each of `vfs` VFs, above zero: as large as the pool, the limit for one
    /// VF and the granularity allow, and at least the minimum.
    pub(crate) fn share(&self, vfs: u16) -> Result<u16, Short> {
        let granularity = self.granularity.max(1);
        let limit = match self.per_vf_max {
            0 => u16::MAX,
            max => max,
        };
        let each = self.free / u32::from(vfs.max(1));
        let each = u16::try_from(each).unwrap_or(u16::MAX).min(limit);
        let rounded = each - each % granularity;
        // The granularity is a preference: a limit or a minimum that does not fit it goes first.
        let share = if rounded < self.minimum {
            each
        } else {
            rounded
        };
        if share < self.minimum || share == 0 {
            return Err(Short {
                needed: u32::from(vfs) * u32::from(self.minimum),
                free: self.free,
            });
        }
        Ok(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(free: u32, per_vf_max: u16, granularity: u16, minimum: u16) -> Pool {
        Pool {
            free,
            per_vf_max,
            granularity,
            minimum,
        }
    }

    #[test]
    fn divides_equally() {
        assert_eq!(pool(16, 8, 1, 2).share(8), Ok(2));
        assert_eq!(pool(16, 8, 1, 2).share(4), Ok(4));
        assert_eq!(pool(16, 8, 1, 2).share(3), Ok(5));
    }

    #[test]
    fn keeps_to_the_limit_of_one_vf() {
        assert_eq!(pool(16, 2, 1, 2).share(1), Ok(2));
        assert_eq!(pool(16, 0, 1, 2).share(1), Ok(16));
        assert_eq!(pool(u32::MAX, 0, 1, 2).share(1), Ok(u16::MAX));
    }

    #[test]
    fn rounds_to_the_granularity() {
        assert_eq!(pool(30, 0, 4, 2).share(4), Ok(4));
        assert_eq!(pool(30, 0, 0, 2).share(4), Ok(7));
        // Less than one step is better than nothing.
        assert_eq!(pool(12, 0, 4, 2).share(4), Ok(3));
    }

    #[test]
    fn tells_both_numbers_when_short() {
        assert_eq!(
            pool(15, 8, 1, 2).share(8),
            Err(Short {
                needed: 16,
                free: 15
            })
        );
        assert_eq!(pool(0, 8, 1, 1).share(1), Err(Short { needed: 1, free: 0 }));
        // No VF can have its minimum, however large the pool.
        assert_eq!(
            pool(99, 1, 1, 2).share(2),
            Err(Short {
                needed: 4,
                free: 99
            })
        );
    }

    #[test]
    fn holds_for_every_small_pool() {
        for free in 0..200 {
            for vfs in 1..20 {
                for max in 0..12 {
                    for granularity in 0..6 {
                        for minimum in 1..4 {
                            check(pool(free, max, granularity, minimum), vfs);
                        }
                    }
                }
            }
        }
    }

    fn check(pool: Pool, vfs: u16) {
        let limit = if pool.per_vf_max == 0 {
            u16::MAX
        } else {
            pool.per_vf_max
        };
        match pool.share(vfs) {
            Ok(share) => {
                assert!(share >= pool.minimum && share <= limit, "{pool:?} {vfs}");
                assert!(
                    u32::from(share) * u32::from(vfs) <= pool.free,
                    "{pool:?} {vfs}"
                );
            }
            Err(short) => {
                assert!(
                    short.free < short.needed || limit < pool.minimum,
                    "{pool:?} {vfs}"
                );
            }
        }
    }
}
