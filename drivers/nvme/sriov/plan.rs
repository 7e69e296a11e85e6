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
    /// The least that a VF needs to work; above zero.
    pub(crate) minimum: u16,
}

/// Why a pool cannot be divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// How many resources the VFs need at least, settings included.
    pub(crate) needed: u32,
    /// How many there are for them.
    pub(crate) free: u32,
}

impl Pool {
    /// The most that one VF can have.
    pub(crate) fn limit(&self) -> u16 {
        match self.per_vf_max {
            0 => u16::MAX,
            max => max,
        }
    }

    /// What the VFs need at least, and what there is.
    fn short(&self, settings: &[u16]) -> Short {
        let minimum = |&setting: &u16| match setting {
            0 => u32::from(self.minimum),
            setting => u32::from(setting),
        };
        Short {
            needed: settings.iter().map(minimum).sum(),
            free: self.free,
        }
    }

    /// `Some` if the pool is too small for each VF to have its setting or the minimum.
    pub(crate) fn shortage(&self, settings: &[u16]) -> Option<Short> {
        let short = self.short(settings);
        (short.needed > short.free).then_some(short)
    }

    /// Divides the pool: VF `i` gets what `settings[i]` says, or, if that is 0, an equal share of
    /// the rest, as large as the limit for one VF allows and at least the minimum.
    ///
    /// Equal shares are multiples of the granularity, and so is what remains of the rest after
    /// the division, which goes to the first VFs in turn. The granularity is only a preference:
    /// where it leaves a VF below its minimum, it is ignored. `shares` is as long as `settings`.
    pub(crate) fn divide(&self, settings: &[u16], shares: &mut [u16]) -> Result<(), Short> {
        let short = self.short(settings);
        let fixed: u32 = settings.iter().copied().map(u32::from).sum();
        let sharing = settings.iter().filter(|&&setting| setting == 0).count() as u32;
        let rest = self.free.checked_sub(fixed).ok_or(short)?;

        let (base, mut spare) = self.share(rest, sharing).ok_or(short)?;
        let step = self.granularity.max(1);
        for (share, &setting) in shares.iter_mut().zip(settings) {
            *share = match setting {
                0 if spare > 0 => {
                    spare -= 1;
                    base + step
                }
                0 => base,
                setting => setting,
            };
        }
        Ok(())
    }

    /// The equal share of each of `vfs` VFs in `rest`, and how many of them can have one step of
    /// the granularity more.
    fn share(&self, rest: u32, vfs: u32) -> Option<(u16, u32)> {
        let Some(each) = rest.checked_div(vfs) else {
            return Some((0, 0));
        };
        let limit = self.limit();
        let step = self.granularity.max(1);
        let each = u16::try_from(each).unwrap_or(u16::MAX).min(limit);
        let rounded = each - each % step;
        if rounded < self.minimum {
            return (each >= self.minimum).then_some((each, 0));
        }
        let left = rest - u32::from(rounded) * vfs;
        let spare = match limit - rounded >= step {
            true => (left / u32::from(step)).min(vfs),
            false => 0,
        };
        Some((rounded, spare))
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

    fn divide(pool: Pool, settings: &[u16]) -> Result<Vec<u16>, Short> {
        let mut shares = vec![0; settings.len()];
        pool.divide(settings, &mut shares).map(|()| shares)
    }

    #[test]
    fn divides_equally() {
        assert_eq!(divide(pool(16, 8, 1, 2), &[0; 8]), Ok(vec![2; 8]));
        assert_eq!(divide(pool(16, 8, 1, 2), &[0; 4]), Ok(vec![4; 4]));
    }

    #[test]
    fn spreads_the_remainder() {
        assert_eq!(divide(pool(17, 8, 1, 2), &[0; 3]), Ok(vec![6, 6, 5]));
        assert_eq!(divide(pool(30, 0, 4, 2), &[0; 4]), Ok(vec![8, 8, 8, 4]));
        // Nobody gets more than the limit.
        assert_eq!(divide(pool(17, 5, 1, 2), &[0; 3]), Ok(vec![5, 5, 5]));
    }

    #[test]
    fn keeps_to_settings() {
        assert_eq!(divide(pool(16, 8, 1, 2), &[0, 7, 0]), Ok(vec![5, 7, 4]));
        assert_eq!(divide(pool(16, 8, 4, 2), &[3, 3]), Ok(vec![3, 3]));
        assert_eq!(
            divide(pool(8, 8, 1, 2), &[7, 0]),
            Err(Short { needed: 9, free: 8 })
        );
        assert_eq!(
            divide(pool(8, 8, 1, 2), &[7, 2]),
            Err(Short { needed: 9, free: 8 })
        );
    }

    #[test]
    fn keeps_to_the_limit_of_one_vf() {
        assert_eq!(divide(pool(16, 2, 1, 2), &[0]), Ok(vec![2]));
        assert_eq!(divide(pool(16, 0, 1, 2), &[0]), Ok(vec![16]));
        assert_eq!(divide(pool(u32::MAX, 0, 1, 2), &[0]), Ok(vec![u16::MAX]));
    }

    #[test]
    fn granularity_gives_way_to_the_minimum() {
        assert_eq!(divide(pool(12, 0, 4, 2), &[0; 4]), Ok(vec![3; 4]));
        assert_eq!(divide(pool(30, 0, 0, 2), &[0; 4]), Ok(vec![8, 8, 7, 7]));
    }

    #[test]
    fn tells_both_numbers_when_short() {
        let short = |needed, free| Err(Short { needed, free });
        assert_eq!(divide(pool(15, 8, 1, 2), &[0; 8]), short(16, 15));
        assert_eq!(divide(pool(0, 8, 1, 1), &[0]), short(1, 0));
        // No VF can have its minimum, however large the pool.
        assert_eq!(divide(pool(99, 1, 1, 2), &[0; 2]), short(4, 99));
    }

    /// Every pool of a range, with a setting for every third VF or none.
    #[test]
    fn holds_for_every_small_pool() {
        for free in 0..150 {
            for vfs in 1..12 {
                for max in 0..9 {
                    for granularity in 0..5 {
                        for setting in [0, 2, 5] {
                            let pool = pool(free, max, granularity, 2);
                            if setting <= pool.limit() {
                                check(pool, vfs, setting);
                            }
                        }
                    }
                }
            }
        }
    }

    fn check(pool: Pool, vfs: usize, setting: u16) {
        let settings: Vec<u16> = (0..vfs)
            .map(|vf| if vf % 3 == 1 { setting } else { 0 })
            .collect();
        let context = format!("{pool:?} {settings:?}");
        match divide(pool, &settings) {
            Ok(shares) => {
                let sum: u32 = shares.iter().copied().map(u32::from).sum();
                assert!(sum <= pool.free, "{context}: {shares:?}");
                let mut equal = vec![];
                for (&share, &setting) in shares.iter().zip(&settings) {
                    assert!(share <= pool.limit(), "{context}: {shares:?}");
                    assert!(share >= pool.minimum, "{context}: {shares:?}");
                    if setting > 0 {
                        assert_eq!(share, setting, "{context}: {shares:?}");
                    } else {
                        equal.push(share);
                    }
                }
                // Equal but for one step.
                if let (Some(min), Some(max)) = (equal.iter().min(), equal.iter().max()) {
                    assert!(
                        max - min <= pool.granularity.max(1),
                        "{context}: {shares:?}"
                    );
                }
            }
            Err(short) => {
                let impossible = pool.limit() < pool.minimum;
                assert!(
                    short.needed > pool.free || impossible,
                    "{context}: {short:?}"
                );
            }
        }
    }
}
