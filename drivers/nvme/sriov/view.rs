// SPDX-License-Identifier: GPL-2.0

//! What the controller reported last of its resources and its VFs. Reads in sysfs show this, without a
//! command to the controller.

use crate::spec::virtualization::{
    PrimaryCapabilities,
    SecondaryController, //
};
use kernel::prelude::*;

/// What is known of one VF.
pub(super) struct Seen {
    pub(super) vf: u16,
    pub(super) secondary: SecondaryController,
    /// The attached namespaces, in ascending order. `None` if the controller does not report them.
    pub(super) attached: Option<KVec<u32>>,
}

/// What is known of all VFs.
#[derive(Default)]
pub(super) struct View {
    pub(super) caps: Option<PrimaryCapabilities>,
    pub(super) vfs: KVec<Seen>,
    /// The resources that are assigned to secondary controllers, with those that are no VFs: queues,
    /// interrupts.
    pub(super) assigned: [u32; 2],
}

impl View {
    /// Returns what is known of VF `vf`.
    pub(super) fn find(&self, vf: u16) -> Option<&Seen> {
        self.vfs.iter().find(|seen| seen.vf == vf)
    }

    /// Returns the Secondary Controller List's entry of VF `vf`.
    pub(super) fn secondary(&self, vf: u16) -> Option<&SecondaryController> {
        self.find(vf).map(|seen| &seen.secondary)
    }
}
