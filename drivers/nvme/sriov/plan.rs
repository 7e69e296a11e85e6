// SPDX-License-Identifier: GPL-2.0

//! Divides a primary controller's flexible resources among its VFs.
//!
//! Pure arithmetic, without a device and without the kernel, so that its tests also run by
//! themselves: `rustc --test drivers/nvme/sriov/plan.rs`.

/// The flexible resources of one kind, queues (VQ) or interrupts (VI).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// The number of resources that can be assigned to VFs.
    pub(crate) free: u32,
    /// The largest number for one VF; 0 if the controller sets no limit.
    pub(crate) per_vf_max: u16,
    /// The number for one VF should be a multiple of this; 0 and 1 mean any number.
    pub(crate) granularity: u16,
    /// The smallest number with which a VF works; above zero.
    pub(crate) minimum: u16,
}

/// Why a pool cannot be divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The number of resources that the VFs need at least, settings included.
    pub(crate) needed: u32,
    /// The number of resources in the pool.
    pub(crate) free: u32,
}

impl Pool {
    /// Returns the largest number of resources for one VF.
    pub(crate) fn limit(&self) -> u16 {
        match self.per_vf_max {
            0 => u16::MAX,
            max => max,
        }
    }

    /// Returns what the VFs need at least, and what there is, whether it suffices or not.
    fn demand(&self, settings: &[u16]) -> Shortage {
        let minimum = |&setting: &u16| match setting {
            0 => u32::from(self.minimum),
            setting => u32::from(setting),
        };
        Shortage {
            needed: settings.iter().map(minimum).fold(0, u32::saturating_add),
            free: self.free,
        }
    }

    /// Returns `Some` if the pool is too small for each VF to get its setting or the minimum.
    pub(crate) fn shortage(&self, settings: &[u16]) -> Option<Shortage> {
        let demand = self.demand(settings);
        (demand.needed > demand.free).then_some(demand)
    }

    /// Divides the pool: VF `i` gets what `settings[i]` says, or, if that is 0, an equal share of
    /// the rest, as large as the limit for one VF allows and at least the minimum.
    ///
    /// Equal shares are multiples of the granularity, and so is what remains of the rest after
    /// the division, which goes to the first VFs in turn. The granularity is only a preference:
    /// where it leaves a VF below its minimum, it is ignored. Settings other than 0 are taken as
    /// they are, so the caller keeps them to the limit. `shares` is as long as `settings`.
    pub(crate) fn divide(&self, settings: &[u16], shares: &mut [u16]) -> Result<(), Shortage> {
        let shortage = self.demand(settings);
        let fixed = settings.iter().copied().map(u32::from);
        let fixed = fixed.fold(0, u32::saturating_add);
        let sharing = settings.iter().filter(|&&setting| setting == 0).count() as u32;
        let rest = self.free.checked_sub(fixed).ok_or(shortage)?;

        let (base, step, mut spare) = self.share(rest, sharing).ok_or(shortage)?;
        for (share, &setting) in shares.iter_mut().zip(settings) {
            *share = match setting {
                0 if spare > 0 => {
                    spare -= 1;
                    base.saturating_add(step)
                }
                0 => base,
                setting => setting,
            };
        }
        Ok(())
    }

    /// Returns the equal share of each of `vfs` VFs in `rest`, the step to the next larger share, and how
    /// many of the VFs can have one step more.
    fn share(&self, rest: u32, vfs: u32) -> Option<(u16, u16, u32)> {
        let Some(each) = rest.checked_div(vfs) else {
            return Some((0, 1, 0));
        };
        let limit = self.limit();
        let each = u16::try_from(each).unwrap_or(u16::MAX).min(limit);
        if each < self.minimum {
            return None;
        }
        let step = match self.granularity.max(1) {
            step if each - each % step < self.minimum => 1,
            step => step,
        };
        let base = each - each % step;
        let left = rest.saturating_sub(u32::from(base).saturating_mul(vfs));
        let spare = if limit.saturating_sub(base) >= step {
            (left / u32::from(step)).min(vfs)
        } else {
            0
        };
        Some((base, step, spare))
    }
}

// On the host they are tests of rustc's own harness, which shows both sides of an assertion.
#[cfg_attr(not(test), kernel::prelude::kunit_tests(nvme_rs_plan))]
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

    fn divide<const VFS: usize>(pool: Pool, settings: [u16; VFS]) -> Result<[u16; VFS], Shortage> {
        let mut shares = [0; VFS];
        pool.divide(&settings, &mut shares).map(|()| shares)
    }

    #[test]
    fn divides_equally() {
        assert_eq!(divide(pool(16, 8, 1, 2), [0; 8]), Ok([2; 8]));
        assert_eq!(divide(pool(16, 8, 1, 2), [0; 4]), Ok([4; 4]));
        assert_eq!(divide(pool(16, 8, 1, 2), []), Ok([]));
    }

    #[test]
    fn spreads_the_remainder() {
        assert_eq!(divide(pool(17, 8, 1, 2), [0; 3]), Ok([6, 6, 5]));
        assert_eq!(divide(pool(30, 0, 4, 2), [0; 4]), Ok([8, 8, 8, 4]));
        // No VF gets more than the limit.
        assert_eq!(divide(pool(17, 5, 1, 2), [0; 3]), Ok([5, 5, 5]));
    }

    #[test]
    fn keeps_to_settings() {
        let short = Err(Shortage { needed: 9, free: 8 });
        assert_eq!(divide(pool(16, 8, 1, 2), [0, 7, 0]), Ok([5, 7, 4]));
        assert_eq!(divide(pool(16, 8, 4, 2), [3, 3]), Ok([3, 3]));
        assert_eq!(divide(pool(8, 8, 1, 2), [7, 0]), short);
        assert_eq!(divide(pool(8, 8, 1, 2), [7, 2]), short);
    }

    #[test]
    fn keeps_to_the_limit_of_one_vf() {
        assert_eq!(divide(pool(16, 2, 1, 2), [0]), Ok([2]));
        assert_eq!(divide(pool(16, 0, 1, 2), [0]), Ok([16]));
        assert_eq!(divide(pool(u32::MAX, 0, 1, 2), [0]), Ok([u16::MAX]));
    }

    #[test]
    fn granularity_gives_way_to_the_minimum() {
        assert_eq!(divide(pool(12, 0, 4, 2), [0; 4]), Ok([3; 4]));
        // What remains is then spread one by one.
        assert_eq!(divide(pool(14, 0, 4, 2), [0; 4]), Ok([4, 4, 3, 3]));
        assert_eq!(divide(pool(30, 0, 0, 2), [0; 4]), Ok([8, 8, 7, 7]));
    }

    #[test]
    fn tells_both_numbers_when_short() {
        let short = |needed, free| Err(Shortage { needed, free });
        assert_eq!(divide(pool(15, 8, 1, 2), [0; 8]), short(16, 15));
        assert_eq!(
            divide(pool(0, 8, 1, 1), [0]),
            Err(Shortage { needed: 1, free: 0 })
        );
        // No VF can have its minimum, however large the pool.
        let short = Err(Shortage {
            needed: 4,
            free: 99,
        });
        assert_eq!(divide(pool(99, 1, 1, 2), [0; 2]), short);
    }

    /// A rule of the division that does not hold.
    #[derive(Debug, PartialEq, Eq)]
    enum Broken {
        /// The shares are more than the pool has.
        Pool,
        /// A VF has more than the limit for one VF.
        Limit,
        /// A VF has less than it needs.
        Minimum,
        /// A VF does not have what was set.
        Setting,
        /// Equal shares differ by more than one step, or an earlier VF has less than a later one.
        Equal,
        /// An equal share is no multiple of the granularity, though one of at least the minimum
        /// was possible for all.
        Granularity,
        /// A VF could have one step more.
        Waste,
        /// Refused, though it can be done.
        Refused,
        /// The numbers in the shortage are wrong.
        Told,
    }

    /// Divides `pool`, and returns what is wrong with the result, if anything.
    fn fault(pool: Pool, settings: &[u16], shares: &mut [u16]) -> Option<Broken> {
        let vfs = settings.len() as u64;
        let sharing = settings.iter().filter(|&&setting| setting == 0).count() as u64;
        let minimum = u64::from(pool.minimum);
        let fixed: u64 = settings.iter().copied().map(u64::from).sum();
        let free = u64::from(pool.free);
        let shortage = fixed + sharing * minimum > free;
        if pool.shortage(settings).is_some() != shortage {
            return Some(Broken::Told);
        }
        if let Err(short) = pool.divide(settings, shares) {
            let needed = fixed + sharing * minimum;
            let possible = needed <= free && (sharing == 0 || pool.minimum <= pool.limit());
            return if possible {
                Some(Broken::Refused)
            } else if (u64::from(short.needed), u64::from(short.free)) != (needed, free) {
                Some(Broken::Told)
            } else {
                None
            };
        }

        let sum: u64 = shares.iter().copied().map(u64::from).sum();
        if sum > free || shares.len() as u64 != vfs {
            return Some(Broken::Pool);
        }
        let (mut least, mut most, mut last) = (u16::MAX, 0, u16::MAX);
        for (&share, &setting) in shares.iter().zip(settings) {
            if share > pool.limit() {
                return Some(Broken::Limit);
            }
            if share < pool.minimum {
                return Some(Broken::Minimum);
            }
            if setting > 0 && share != setting {
                return Some(Broken::Setting);
            }
            if setting == 0 {
                if share > last {
                    return Some(Broken::Equal);
                }
                last = share;
                least = least.min(share);
                most = most.max(share);
            }
        }
        if sharing == 0 {
            return None;
        }

        // The smallest multiple of the granularity with which a VF works.
        let granularity = pool.granularity.max(1);
        let multiple = u32::from(pool.minimum.div_ceil(granularity)) * u32::from(granularity);
        let fits =
            multiple <= u32::from(pool.limit()) && fixed + sharing * u64::from(multiple) <= free;
        let step = if fits { granularity } else { 1 };
        if most - least > step {
            return Some(Broken::Equal);
        }
        if least % step != 0 || most % step != 0 {
            return Some(Broken::Granularity);
        }
        if u32::from(least) + u32::from(step) <= pool.limit().into()
            && sum + u64::from(step) <= free
        {
            return Some(Broken::Waste);
        }
        None
    }

    /// Numbers that look random, and are the same each time (xorshift).
    struct Random(u64);

    impl Random {
        /// Returns the next number, from 0 to `max`.
        fn upto(&mut self, max: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            ((self.0 >> 32) * (u64::from(max) + 1) >> 32) as u32
        }

        /// Returns a pool, and the settings of up to 32 VFs among which it is to be divided. Half of the
        /// pools are about as large as needed.
        fn case(&mut self, settings: &mut [u16; 32]) -> (Pool, usize) {
            let minimum = 1 + self.upto(3) as u16;
            let max = match self.upto(3) {
                0 => 0,
                1 => self.upto(u16::MAX.into()) as u16,
                _ => minimum + self.upto(20) as u16,
            };
            let mut pool = pool(0, max, self.upto(9) as u16, minimum);
            let vfs = 1 + self.upto(31) as usize;
            let odds = self.upto(4);
            let mut needed = 0;
            for setting in settings.iter_mut().take(vfs) {
                *setting = match pool.limit().checked_sub(minimum) {
                    Some(range) if self.upto(3) < odds => {
                        minimum + self.upto(range.min(30).into()) as u16
                    }
                    _ => 0,
                };
                needed += u32::from((*setting).max(minimum));
            }
            pool.free = match self.upto(3) {
                0 => self.upto(u32::MAX),
                1 => self.upto(1000),
                _ => needed.saturating_sub(2) + self.upto(40),
            };
            (pool, vfs)
        }
    }

    #[test]
    fn rules_hold_for_random_pools() {
        let mut random = Random(0x6e76_6d65_2d72_7321);
        let (mut settings, mut shares) = ([0; 32], [0; 32]);
        for _ in 0..3000 {
            let (pool, vfs) = random.case(&mut settings);
            let fault = fault(pool, &settings[..vfs], &mut shares[..vfs]);
            assert_eq!(fault.map(|fault| (fault, pool, settings)), None);
        }
    }

    /// Returns whether some shares of up to `limit` each, added to those that are set, fit into `free`, by
    /// trying them all.
    fn possible(pool: &Pool, settings: &[u16], free: u16) -> bool {
        let Some((&setting, others)) = settings.split_first() else {
            return true;
        };
        (1..=pool.limit().min(free))
            .filter(|&share| share == setting || (setting == 0 && share >= pool.minimum))
            .any(|share| possible(pool, others, free - share))
    }

    #[test]
    fn refuses_only_what_is_impossible() {
        for free in 0..14 {
            for (max, minimum) in [(0, 1), (1, 2), (2, 1), (2, 2), (3, 2), (5, 3)] {
                for granularity in 0..4 {
                    let pool = pool(free.into(), max, granularity, minimum);
                    for settings in [[0, 0, 0], [minimum, 0, 0], [0, max, 0], [max, minimum, max]] {
                        if settings.iter().any(|&setting| setting > pool.limit()) {
                            continue;
                        }
                        for vfs in 1..=3 {
                            let mut shares = [0; 3];
                            let (settings, shares) = (&settings[..vfs], &mut shares[..vfs]);
                            let divided = pool.divide(settings, shares).is_ok();
                            assert_eq!(divided, possible(&pool, settings, free));
                            assert_eq!(fault(pool, settings, shares), None);
                        }
                    }
                }
            }
        }
    }
}
