// SPDX-License-Identifier: GPL-2.0

//! Rules: which commands meet which fault.
//!
//! A rule is an action and conditions, such as `lose queue=io opcode=2 skip=3 count=1`. Numbers are
//! decimal, or hexadecimal after `0x`.
//!
//! Actions on the completion of a command:
//!
//! - `lose`: the completion is dropped.
//! - `status=N`: the status field, without the phase tag, is replaced.
//! - `data=N at=OFFSET size=BYTES`: a part of the data that an admin command returned is replaced.
//!
//! When a command is sent, `gone`: the device is gone from now on.
//!
//! Conditions: `queue=admin` (the default) or `queue=io`; `opcode=N`; `dword10=N`, its low byte
//! (CNS of Identify, Feature Identifier, action of Virtualization Management). Of the commands that
//! meet them, the first `N` of `skip=N` are spared, and the next `N` of `count=N`, by default 1, are
//! hit.

use core::str::FromStr;
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};
use kernel_ext::nvme::Command;
use zerocopy::IntoBytes;

/// The fault that a command meets, see above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Action {
    Lose = 1,
    Status,
    Data,
    Gone,
}

impl Action {
    const ALL: [(&'static str, Self); 4] = [
        ("lose", Self::Lose),
        ("status", Self::Status),
        ("data", Self::Data),
        ("gone", Self::Gone),
    ];
}

/// Any value, as a condition.
const ANY: u32 = u32::MAX;

/// A rule as it is written.
pub(super) struct Spec {
    action: Action,
    argument: u64,
    admin: bool,
    opcode: u32,
    dword10: u32,
    skip: i32,
    count: i32,
    at: u32,
    size: u32,
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let word = words.next().ok_or(EINVAL)?;
        let (name, argument) = word.split_once('=').unwrap_or((word, "0"));
        let (_, action) = Action::ALL
            .into_iter()
            .find(|&(known, _)| known == name)
            .ok_or(EINVAL)?;
        let mut spec = Self {
            action,
            argument: number(argument)?,
            admin: true,
            opcode: ANY,
            dword10: ANY,
            skip: 0,
            count: 1,
            at: 0,
            size: 1,
        };
        for word in words {
            match word.split_once('=').ok_or(EINVAL)? {
                ("queue", "admin") => spec.admin = true,
                ("queue", "io") => spec.admin = false,
                ("opcode", value) => spec.opcode = u8::try_from(number(value)?)?.into(),
                ("dword10", value) => spec.dword10 = u8::try_from(number(value)?)?.into(),
                ("skip", value) => spec.skip = number(value)?.try_into()?,
                ("count", value) => spec.count = number(value)?.try_into()?,
                ("at", value) => spec.at = number(value)?.try_into()?,
                ("size", value) => spec.size = number(value)?.try_into()?,
                _ => return Err(EINVAL),
            }
        }
        Ok(spec)
    }
}

/// Parses a number.
pub(super) fn number(text: &str) -> Result<u64> {
    let read = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    read.map_err(|_| EINVAL)
}

/// Returns dword `index` of `command`.
pub(super) fn dword(command: &Command, index: usize) -> u32 {
    let mut bytes = [0; 4];
    if let Some(found) = command.as_bytes().chunks_exact(4).nth(index) {
        bytes.copy_from_slice(found);
    }
    u32::from_le_bytes(bytes)
}

/// A place for a rule. Its fields may be read in any context, beside a write.
pub(super) struct Rule {
    /// The action; 0 if there is no rule here. Written last.
    action: Atomic<u32>,
    argument: Atomic<u64>,
    admin: Atomic<bool>,
    opcode: Atomic<u32>,
    dword10: Atomic<u32>,
    skip: Atomic<i32>,
    left: Atomic<i32>,
    at: Atomic<u32>,
    size: Atomic<u32>,
}

impl Rule {
    /// Creates a place without a rule.
    pub(super) const fn new() -> Self {
        Self {
            action: Atomic::new(0),
            argument: Atomic::new(0),
            admin: Atomic::new(false),
            opcode: Atomic::new(0),
            dword10: Atomic::new(0),
            skip: Atomic::new(0),
            left: Atomic::new(0),
            at: Atomic::new(0),
            size: Atomic::new(0),
        }
    }

    pub(super) fn is_free(&self) -> bool {
        self.action.load(Relaxed) == 0
    }

    pub(super) fn clear(&self) {
        self.action.store(0, Relaxed);
    }

    pub(super) fn set(&self, spec: &Spec) {
        self.argument.store(spec.argument, Relaxed);
        self.admin.store(spec.admin, Relaxed);
        self.opcode.store(spec.opcode, Relaxed);
        self.dword10.store(spec.dword10, Relaxed);
        self.skip.store(spec.skip, Relaxed);
        self.left.store(spec.count, Relaxed);
        self.at.store(spec.at, Relaxed);
        self.size.store(spec.size, Relaxed);
        self.action.store(spec.action as u32, Release);
    }

    /// Returns the action; `None` if there is no rule here.
    fn known_action(&self) -> Option<Action> {
        let action = self.action.load(Acquire);
        Action::ALL
            .into_iter()
            .find_map(|(_, known)| (known as u32 == action).then_some(known))
    }

    /// Returns the action. For a place without a rule it is `Data`, which leaves completions alone.
    pub(super) fn action(&self) -> Action {
        self.known_action().unwrap_or(Action::Data)
    }

    pub(super) fn argument(&self) -> u64 {
        self.argument.load(Relaxed)
    }

    /// Prints the rule's action, and how many commands it is still to hit.
    pub(super) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(action) = self.known_action() else {
            return Ok(());
        };
        writeln!(f, "{action:?} left={}", self.left.load(Relaxed).max(0))
    }

    /// Returns whether the rule hits `command`, which is about to be sent. Counts it if so.
    pub(super) fn matches(&self, is_admin: bool, command: &Command) -> bool {
        self.known_action().is_some_and(|a| a != Action::Data) && self.hits(is_admin, command)
    }

    /// Returns the change that the rule makes to the data of `command`, which is complete. Counts it
    /// if there is one.
    pub(super) fn patch(&self, command: &Command) -> Option<Patch> {
        if self.known_action() != Some(Action::Data) || !self.hits(true, command) {
            return None;
        }
        Some(Patch {
            at: self.at.load(Relaxed) as usize,
            value: self.argument().to_le_bytes(),
            size: self.size.load(Relaxed) as usize,
        })
    }

    fn hits(&self, is_admin: bool, command: &Command) -> bool {
        let meets = |condition: &Atomic<u32>, value: u32| {
            let wanted = condition.load(Relaxed);
            wanted == ANY || wanted == value
        };
        self.admin.load(Relaxed) == is_admin
            && meets(&self.opcode, command.opcode().into())
            && meets(&self.dword10, dword(command, 10) & 0xff)
            && !take_one(&self.skip)
            && take_one(&self.left)
    }
}

/// Decrements `counter` if it is above zero. Returns whether it was.
fn take_one(counter: &Atomic<i32>) -> bool {
    if counter.fetch_sub(1, Full) > 0 {
        return true;
    }
    counter.add(1, Relaxed);
    false
}

/// A change of data.
pub(super) struct Patch {
    pub(super) at: usize,
    value: [u8; 8],
    size: usize,
}

impl Patch {
    pub(super) fn bytes(&self) -> &[u8] {
        self.value.get(..self.size).unwrap_or(&self.value)
    }
}
