// SPDX-License-Identifier: GPL-2.0

//! What the administrator has set for each VF. Settings remain when VFs are disabled.

use super::{
    namespaces::copy,
    share::minimum, //
};
use crate::spec::virtualization::Resource;
use kernel::prelude::*;

/// The number of resources that is set for a VF; 0 for an equal share.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) queues: u16,
    pub(super) interrupts: u16,
}

impl Wanted {
    /// Returns how many resources of this kind the VF is to get; 0 for an equal share. If only the number
    /// of interrupts is set, the VF gets as many queues.
    pub(super) fn of(&self, kind: Resource) -> u16 {
        match (kind, self.queues, self.interrupts) {
            (Resource::Interrupt, _, interrupts) => interrupts,
            (Resource::Queue, 0, 0) => 0,
            (Resource::Queue, 0, interrupts) => interrupts.max(minimum(Resource::Queue)),
            (Resource::Queue, queues, _) => queues,
        }
    }

    /// Returns the number of this kind as it was set.
    pub(super) fn get(&self, kind: Resource) -> u16 {
        match kind {
            Resource::Queue => self.queues,
            Resource::Interrupt => self.interrupts,
        }
    }

    /// Returns the same with `count` resources of this kind.
    pub(super) fn with(mut self, kind: Resource, count: u16) -> Self {
        match kind {
            Resource::Queue => self.queues = count,
            Resource::Interrupt => self.interrupts = count,
        }
        self
    }
}

/// The setting of one VF.
#[derive(Default)]
pub(super) struct Setting {
    pub(super) wanted: Wanted,
    /// The namespaces that the VF is to have; empty for those that the controller attaches to every VF.
    pub(super) namespaces: KVec<u32>,
}

/// The settings of all VFs, up to the last one that was set.
#[derive(Default)]
pub(super) struct Settings(KVec<Setting>);

impl Settings {
    /// Returns the resources that are set for VF `vf`.
    pub(super) fn wanted(&self, vf: u16) -> Wanted {
        self.0
            .get(usize::from(vf))
            .map_or(Wanted::default(), |setting| setting.wanted)
    }

    /// Returns the namespaces that are set for VF `vf`, if any. `ENOMEM` without memory.
    pub(super) fn namespaces(&self, vf: u16) -> Result<KVec<u32>> {
        match self.0.get(usize::from(vf)) {
            Some(setting) => copy(&setting.namespaces),
            None => Ok(KVec::new()),
        }
    }

    /// Returns the setting of VF `vf` to change it. `ENOMEM` without memory.
    pub(super) fn get_mut(&mut self, vf: u16) -> Result<&mut Setting> {
        let index = usize::from(vf);
        while self.0.len() <= index {
            self.0.push(Setting::default(), GFP_KERNEL)?;
        }
        self.0.get_mut(index).ok_or(EINVAL)
    }
}

#[kunit_tests(nvme_rs_setting)]
mod tests {
    use super::*;

    /// Returns what a VF gets of each kind, if `queues` and `interrupts` are set.
    fn given(queues: u16, interrupts: u16) -> (u16, u16) {
        let wanted = Wanted::default()
            .with(Resource::Queue, queues)
            .with(Resource::Interrupt, interrupts);
        (wanted.of(Resource::Queue), wanted.of(Resource::Interrupt))
    }

    #[test]
    fn a_queue_for_each_interrupt_and_at_least_two() {
        for (interrupts, queues) in [(0, 0), (1, 2), (2, 2), (3, 3), (u16::MAX, u16::MAX)] {
            assert_eq!(given(0, interrupts), (queues, interrupts));
        }
    }

    #[test]
    fn queues_that_are_wanted_are_given() {
        assert_eq!(given(3, 0), (3, 0));
        assert_eq!(given(3, 6), (3, 6));
        assert_eq!(given(6, 3), (6, 3));
    }

    #[test]
    fn a_setting_is_kept_for_its_vf_alone() -> Result {
        let mut settings = Settings::default();
        let setting = settings.get_mut(2)?;
        setting.wanted = Wanted::default().with(Resource::Interrupt, 5);
        setting.namespaces.push(7, GFP_KERNEL)?;
        for vf in [0, 1, 3, u16::MAX] {
            assert_eq!(settings.wanted(vf).get(Resource::Interrupt), 0);
            assert!(settings.namespaces(vf)?.is_empty());
        }
        assert_eq!(settings.wanted(2).get(Resource::Interrupt), 5);
        assert_eq!(settings.wanted(2).get(Resource::Queue), 0);
        assert_eq!(&settings.namespaces(2)?[..], &[7]);
        Ok(())
    }
}
