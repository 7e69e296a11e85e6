// SPDX-License-Identifier: GPL-2.0

//! Enabling, and every kind of reset.

use super::Controller;
use crate::{
    namespace::Namespace,
    queues::{CompletionQueue, SubmissionQueue},
    random::Random,
};
use std::time::{Duration, Instant};

impl Controller {
    /// CC.EN is set.
    pub(super) fn enable(&mut self) {
        self.journal.count("enables");
        if let Some(complaint) = self.registers.complaint(&self.settings) {
            self.journal.violation(complaint);
            return self.registers.fail();
        }
        let (submission, completion) = self.registers.admin_queues();
        let (submissions, completions) = self.registers.admin_entries();
        self.submissions
            .insert(0, SubmissionQueue::new(submission, submissions, 0));
        self.completions
            .insert(0, CompletionQueue::new(completion, completions, Some(0)));
        if self.settings.ready_ms == 0 {
            self.registers.set_ready(true);
        } else {
            let wait = Duration::from_millis(self.settings.ready_ms);
            self.ready_at = Some(Instant::now() + wait);
        }
    }

    /// CC.EN is cleared.
    pub(super) fn disable(&mut self) {
        self.journal.count("disables");
        self.forget();
        self.registers.reset_controller();
    }

    /// Forgets what does not outlive a reset.
    fn forget(&mut self) {
        if self.space.is_master() {
            self.check_host_buffer();
        }
        if let Some(buffer) = self.host_buffer.take() {
            self.former_buffer = Some(buffer);
        }
        self.submissions.clear();
        self.completions.clear();
        self.waiting.clear();
        self.held.clear();
        self.interrupts_due.clear();
        self.endless.clear();
        self.events = Default::default();
        self.features.reset();
        self.shadow = None;
        self.interrupts.reset();
        self.ready_at = None;
    }

    /// The function is reset.
    pub fn reset_function(&mut self) {
        self.journal.count("function_resets");
        self.forget();
        self.registers.reset_function();
        self.place_buffer();
    }

    /// The subsystem is reset.
    pub fn reset_subsystem(&mut self) {
        if !self.settings.subsystem_reset {
            return;
        }
        self.journal.count("subsystem_resets");
        self.forget();
        self.registers.reset_subsystem();
        self.place_buffer();
    }

    /// Makes it a sane device, as it was at the beginning: without rules, data and memories.
    pub fn make_sane(&mut self) {
        self.gone = false;
        self.rules.clear();
        self.kept.clear();
        self.former_buffer = None;
        self.reset_function();
        self.settings = self.first.clone();
        self.namespaces = Namespace::all(&self.settings);
        self.random = Random::new(self.settings.seed);
        self.journal.clear();
    }
}
