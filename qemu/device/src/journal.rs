// SPDX-License-Identifier: GPL-2.0

//! What has happened: counts, and what the host did that it must not do.

use serde::Serialize;
use std::collections::BTreeMap;

/// The most violations that are kept as text, and of features that were set. All violations are
/// counted.
const KEPT: usize = 100;

/// What has happened since the journal was cleared.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Journal {
    counts: BTreeMap<String, u64>,
    violations: Vec<String>,
    /// The features that were set, with the value.
    features: Vec<(u8, u32)>,
}

impl Journal {
    /// Counts one more of `what`.
    pub fn count(&mut self, what: &str) {
        match self.counts.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(what.into(), 1)),
        }
    }

    /// Returns how often `what` was counted.
    pub fn counted(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Notes that the host did what the specification does not let it do.
    pub fn violation(&mut self, what: String) {
        self.count("violations");
        if self.violations.len() < KEPT {
            self.violations.push(what);
        }
    }

    /// Returns the violations that are kept.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Notes that a feature was set.
    pub fn feature(&mut self, feature: u8, value: u32) {
        if self.features.len() < KEPT {
            self.features.push((feature, value));
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Journal::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_are_counted_beyond_those_that_are_kept() {
        let mut journal = Journal::default();
        for _ in 0..2 * KEPT {
            journal.violation("doorbell".into());
        }
        assert_eq!(journal.counted("violations"), 2 * KEPT as u64);
        assert_eq!(journal.violations().len(), KEPT);
        journal.clear();
        assert_eq!(journal.counted("violations"), 0);
    }
}
