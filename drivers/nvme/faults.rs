// SPDX-License-Identifier: GPL-2.0

//! Device faults on demand, to test what the driver does about them: those of devices with VFs.
//! What one function alone can do wrong is done by the controller in `qemu/device`, which has no VFs.
//!
//! Only a module built with `NVME_RS_FAULTS` has this file (see Kbuild). Any other has
//! `faults/none.rs` instead, whose hooks compile to nothing.
//!
//! The hooks are called by `bar`, by the queues and by the transport, in any context: they take no
//! lock. They know nothing of the driver but registers and commands.
//!
//! Faults apply to all functions that the driver is bound to. The files in
//! `/sys/kernel/debug/nvme_rs/`:
//!
//! - `command`: each write adds one [rule] about commands; `clear` removes all. A read shows how many
//!   commands each rule is still to hit.
//! - `total_vfs`: how many VFs the next probes are to believe that a function has; 0 for as many as it
//!   says.
//! - `gone`: 1 makes the device disappear, with its registers and its configuration space; 0 brings it
//!   back.

mod rule;

use self::rule::{
    Action,
    Rule,
    Spec, //
};
use crate::spec::registers;
use kernel::{
    debugfs::{
        Dir,
        File, //
    },
    fmt,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    uaccess::UserSliceReader, //
};
use kernel_ext::{
    nvme::{
        Command,
        CommandId,
        CompletionRing,
        Entry,
        FaultData,
        Transport, //
    },
    sync::rcu::Reader, //
};

/// The rules about commands.
static RULES: [Rule; 16] = [const { Rule::new() }; 16];

/// TotalVFs, unless 0.
static TOTAL_VFS: Atomic<u32> = Atomic::new(0);

/// Whether the device is gone.
static GONE: Atomic<bool> = Atomic::new(false);

/// The files in debugfs, which exist as long as the module is loaded.
#[pin_data]
pub(crate) struct Files {
    _dir: Dir,
    #[pin]
    command: File<()>,
    #[pin]
    total_vfs: File<()>,
    #[pin]
    gone: File<()>,
}

impl Files {
    /// Creates the files.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"nvme_rs");
        let held = dir.clone();
        try_pin_init!(Self {
            command <- held.read_write_callback_file(
                c"command", (), &show_rules, &write_command),
            total_vfs <- held.write_callback_file(c"total_vfs", (), &write_total_vfs),
            gone <- held.write_callback_file(c"gone", (), &write_gone),
            _dir: dir,
        })
    }
}

/// Returns what `parse` makes of the text that a user writes; `EINVAL` if it is too long.
fn parse<T>(reader: &mut UserSliceReader, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    let mut buffer = [0; 128];
    let len = reader.len();
    let text = buffer.get_mut(..len).ok_or(EINVAL)?;
    reader.read_slice(text)?;
    parse(core::str::from_utf8(text).map_err(|_| EINVAL)?.trim())
}

fn show_rules(_: &(), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    RULES.iter().try_for_each(|rule| rule.show(f))
}

fn write_command(_: &(), reader: &mut UserSliceReader) -> Result {
    parse(reader, |text| {
        if text == "clear" {
            RULES.iter().for_each(Rule::clear);
            return Ok(());
        }
        let spec = text.parse::<Spec>()?;
        let free = RULES.iter().find(|rule| rule.is_free());
        free.ok_or(ENOSPC)?.set(&spec);
        Ok(())
    })
}

fn write_total_vfs(_: &(), reader: &mut UserSliceReader) -> Result {
    let total = parse(reader, rule::number)?;
    TOTAL_VFS.store(u16::try_from(total)?.into(), Relaxed);
    Ok(())
}

fn write_gone(_: &(), reader: &mut UserSliceReader) -> Result {
    let gone = parse(reader, rule::number)?;
    GONE.store(gone != 0, Relaxed);
    Ok(())
}

/// Returns what the driver is to read from a 32-bit register, whose value is `value`.
pub(crate) fn read32(value: u32) -> u32 {
    if is_gone() {
        registers::GONE
    } else {
        value
    }
}

/// Returns what the driver is to read from a 64-bit register, whose value is `value`.
pub(crate) fn read64(value: u64) -> u64 {
    if is_gone() {
        u64::MAX
    } else {
        value
    }
}

/// Returns how many VFs the driver is to believe that a function has, which says that it has `total`.
pub(crate) fn total_vfs(total: u16) -> u16 {
    match TOTAL_VFS.load(Relaxed) {
        0 => total,
        other => other as u16,
    }
}

/// Returns whether the device is gone.
pub(crate) fn is_gone() -> bool {
    GONE.load(Relaxed)
}

/// Changes the data that the controller returned for admin command `command`.
pub(crate) fn data(command: &Command, data: &mut FaultData<'_>) {
    for rule in &RULES {
        if let Some(patch) = rule.patch(command) {
            data.write(patch.at, patch.bytes());
        }
    }
}

/// The rules that the commands in flight of one queue have met: for each tag the number of a rule,
/// from 1, or 0 for none.
type Fates = Arc<KVec<Atomic<u32>>>;

/// Creates both sides of queue `qid` with `entries` entries.
pub(crate) fn queue(qid: u16, entries: u16) -> Result<(Sent, Received)> {
    let mut fates = KVec::with_capacity(entries.into(), GFP_KERNEL)?;
    for _ in 0..entries {
        fates.push(Atomic::new(0), GFP_KERNEL)?;
    }
    let fates = Arc::new(fates, GFP_KERNEL)?;
    let sent = Sent {
        is_admin: qid == 0,
        fates: fates.clone(),
    };
    Ok((sent, Received { fates }))
}

fn fate(fates: &Fates, id: CommandId) -> Option<&Atomic<u32>> {
    fates.get(usize::from(id.tag()))
}

/// The submission side of a queue.
pub(crate) struct Sent {
    is_admin: bool,
    fates: Fates,
}

impl Sent {
    /// Notes which rule `command` meets, which is about to be sent.
    pub(crate) fn submit(&self, command: &Command) {
        let Some(fate) = fate(&self.fates, command.id()) else {
            return;
        };
        let found = (1u32..)
            .zip(&RULES)
            .find(|(_, rule)| rule.matches(self.is_admin, command));
        fate.store(found.map_or(0, |(number, _)| number), Relaxed);
        if found.is_some_and(|(_, rule)| rule.action() == Action::Gone) {
            GONE.store(true, Relaxed);
        }
    }
}

/// The completion side of a queue.
pub(crate) struct Received {
    fates: Fates,
}

impl Received {
    /// Returns the entries that the queue is to see instead of the new ones of `ring`.
    pub(crate) fn entries<'ring, T: Transport>(
        &'ring mut self,
        ring: &'ring mut CompletionRing<T>,
        rcu: Reader<'ring>,
    ) -> impl Iterator<Item = Entry<'ring, T>> + 'ring {
        ring.entries(rcu).filter_map(|entry| self.arrival(entry))
    }

    /// Returns the entry that the queue is to see instead of `entry`, if any.
    fn arrival<'ring, T: Transport>(&self, entry: Entry<'ring, T>) -> Option<Entry<'ring, T>> {
        if is_gone() {
            return None;
        }
        let fate = fate(&self.fates, entry.id());
        let number = fate.map_or(0, |fate| fate.xchg(0, Full));
        let mut cqe = entry.completion();
        match action(number) {
            (Action::Lose, _) => return None,
            (Action::Status, status) => {
                let phase = u16::from_le(cqe.status) & 1;
                cqe.status = ((status as u16) << 1 | phase).to_le();
            }
            _ => return Some(entry),
        }
        Some(entry.altered(cqe))
    }
}

/// Returns the action of rule `number`, from 1, and its argument. It leaves completions alone if there
/// is no such rule.
fn action(number: u32) -> (Action, u64) {
    let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
    index
        .and_then(|index| RULES.get(index))
        .map_or((Action::Data, 0), |rule| (rule.action(), rule.argument()))
}
