// SPDX-License-Identifier: GPL-2.0

//! What the controller said last of its resources and its VFs: what is read in sysfs, without
//! asking it.

use crate::spec::virtualization::{
    PrimaryCapabilities,
    SecondaryController, //
};
use kernel::prelude::*;

/// What is known of one VF.
pub(super) struct Seen {
    pub(super) vf: u16,
    pub(super) secondary: SecondaryController,
    /// The namespaces that are attached, in ascending order. `None` if the controller cannot tell.
    pub(super) attached: Option<KVec<u32>>,
}

/// What is known of all VFs.
#[derive(Default)]
pub(super) struct View {
    pub(super) caps: Option<PrimaryCapabilities>,
    pub(super) vfs: KVec<Seen>,
    /// What is held by secondary controllers, those that are no VFs included: queues, interrupts.
    pub(super) assigned: [u32; 2],
}

impl View {
    /// What is known of VF `vf`.
    pub(super) fn find(&self, vf: u16) -> Option<&Seen> {
        self.vfs.iter().find(|seen| seen.vf == vf)
    }

    /// The controller of VF `vf`.
    pub(super) fn secondary(&self, vf: u16) -> Option<&SecondaryController> {
        self.find(vf).map(|seen| &seen.secondary)
    }
}
