// SPDX-License-Identifier: GPL-2.0

//! Device faults on demand, to test how the driver comes through them.
//!
//! Only a module built with `NVME_RS_FAULTS` has this (see Kbuild). In any other
//! `faults/none.rs` takes its place, whose hooks do nothing and leave nothing behind.
//!
//! Faults hold for all functions of the driver. In `/sys/kernel/debug/nvme_rs/`:
//!
//! - `command` takes one [rule] about commands in each write, or `clear`; it shows what is left of
//!   each rule.
//! - `register` takes `NAME clear=MASK set=MASK`, by which `CSTS` or `CAP` reads differently from
//!   now on, or `clear`.
//! - `gone` takes 1 for a device that is gone, registers, configuration space and all; 0 ends it.
//! - `release` has what came `late` arrive with the next completion of its queue, whatever is
//!   written.

mod register;
mod rule;

use self::{
    register::Bits,
    rule::{
        Action,
        Rule,
        Spec, //
    },
};
use crate::spec::registers::{
    self,
    cc,
    CAP,
    CSTS, //
};
use kernel::{
    debugfs::{
        Dir,
        File, //
    },
    fmt,
    io::register::Register,
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
use kernel_ext::nvme::{
    Command,
    CommandId,
    Completion,
    Data, //
};

/// The rules about commands.
static RULES: [Rule; 16] = [const { Rule::new() }; 16];

/// How Controller Status reads.
static CSTS_BITS: Bits = Bits::new();

/// How Controller Capabilities reads.
static CAP_BITS: Bits = Bits::new();

/// Whether the device is gone.
static GONE: Atomic<bool> = Atomic::new(false);

/// Whether the controller has failed: CSTS.CFS is set and no command completes, until it is
/// disabled.
static FAILED: Atomic<bool> = Atomic::new(false);

/// How often late completions were released.
static RELEASES: Atomic<u32> = Atomic::new(0);

/// The files, for as long as the module is loaded.
#[pin_data]
pub(crate) struct Files {
    _dir: Dir,
    #[pin]
    command: File<()>,
    #[pin]
    register: File<()>,
    #[pin]
    gone: File<()>,
    #[pin]
    release: File<()>,
}

impl Files {
    /// Makes the files.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"nvme_rs");
        let held = dir.clone();
        try_pin_init!(Self {
            command <- held.read_write_callback_file(
                c"command", (), &show_rules, &write_command),
            register <- held.write_callback_file(c"register", (), &write_register),
            gone <- held.write_callback_file(c"gone", (), &write_gone),
            release <- held.write_callback_file(c"release", (), &write_release),
            _dir: dir,
        })
    }
}

/// Has `parse` read what a user writes.
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
            FAILED.store(false, Relaxed);
            return Ok(());
        }
        let spec = text.parse::<Spec>()?;
        let free = RULES.iter().find(|rule| rule.is_free());
        free.ok_or(ENOSPC)?.set(&spec);
        Ok(())
    })
}

fn write_register(_: &(), reader: &mut UserSliceReader) -> Result {
    parse(reader, |text| {
        if text == "clear" {
            CSTS_BITS.clear();
            CAP_BITS.clear();
            return Ok(());
        }
        match text.split_once(' ').ok_or(EINVAL)? {
            ("CSTS", masks) => CSTS_BITS.set(masks),
            ("CAP", masks) => CAP_BITS.set(masks),
            _ => Err(EINVAL),
        }
    })
}

fn write_gone(_: &(), reader: &mut UserSliceReader) -> Result {
    let gone = parse(reader, rule::number)?;
    GONE.store(gone != 0, Relaxed);
    Ok(())
}

fn write_release(_: &(), reader: &mut UserSliceReader) -> Result {
    reader.skip(reader.len())?;
    RELEASES.add(1, Relaxed);
    Ok(())
}

/// What a 32-bit register at `offset` reads as, whose value is `value`.
pub(crate) fn read32(offset: usize, value: u32) -> u32 {
    if is_gone() {
        return registers::GONE;
    }
    if offset != CSTS::OFFSET {
        return value;
    }
    let csts = CSTS_BITS.read(value.into()) as u32;
    CSTS::from(csts)
        .with_cfs(FAILED.load(Relaxed) || CSTS::from(csts).cfs())
        .into_raw()
}

/// What a 64-bit register at `offset` reads as, whose value is `value`.
pub(crate) fn read64(offset: usize, value: u64) -> u64 {
    if is_gone() {
        return u64::MAX;
    }
    match offset {
        CAP::OFFSET => CAP_BITS.read(value),
        _ => value,
    }
}

/// A 32-bit register is about to be written. Returns whether that gets lost.
pub(crate) fn loses_write(offset: usize, value: u32) -> bool {
    if offset == cc::OFFSET && value & cc::EN == 0 {
        FAILED.store(false, Relaxed);
    }
    is_gone()
}

/// Whether the device is gone.
pub(crate) fn is_gone() -> bool {
    GONE.load(Relaxed)
}

/// Changes the data that admin command `command` has read.
pub(crate) fn data(command: &Command, data: &mut Data<'_>) {
    for rule in &RULES {
        if let Some(patch) = rule.patch(command) {
            data.write(patch.at, patch.bytes());
        }
    }
}

/// What befalls the commands of a queue that are under way: for each tag the number of a rule, from
/// 1.
type Fates = Arc<KVec<Atomic<u32>>>;

/// Makes both sides of queue `qid` with `entries` entries.
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
    let received = Received {
        fates,
        late: KVec::new(),
        releases: RELEASES.load(Relaxed),
    };
    Ok((sent, received))
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
    /// `command` goes to the controller.
    pub(crate) fn submit(&self, command: &Command) {
        let Some(fate) = fate(&self.fates, command.id()) else {
            return;
        };
        let found = (1u32..)
            .zip(&RULES)
            .find(|(_, rule)| rule.matches(self.is_admin, command));
        fate.store(found.map_or(0, |(number, _)| number), Relaxed);
        match found.map(|(_, rule)| rule.action()) {
            Some(Action::Gone) => GONE.store(true, Relaxed),
            Some(Action::Fail) => FAILED.store(true, Relaxed),
            _ => {}
        }
    }
}

/// The completion side of a queue.
pub(crate) struct Received {
    fates: Fates,
    late: KVec<Completion>,
    /// How often late completions had been released when these were last looked at.
    releases: u32,
}

impl Received {
    /// Whether the new entry `cqe` is not seen this time.
    pub(crate) fn misses(&self, cqe: &Completion) -> bool {
        let Some(fate) = fate(&self.fates, cqe.id()) else {
            return false;
        };
        let missed = action(fate.load(Relaxed)).is_some_and(|(a, _)| a == Action::Missed);
        if missed {
            fate.store(0, Relaxed);
        }
        missed
    }

    /// What arrives instead of `cqe`.
    pub(crate) fn arrive(&mut self, mut cqe: Completion) -> Arrivals {
        let mut arrivals = Arrivals::default();
        let releases = RELEASES.load(Relaxed);
        if core::mem::replace(&mut self.releases, releases) != releases {
            arrivals.late = core::mem::take(&mut self.late);
        }
        let id = cqe.id();
        let number = fate(&self.fates, id).map_or(0, |fate| fate.xchg(0, Full));
        let mut extra = None;
        match action(number) {
            _ if is_gone() || FAILED.load(Relaxed) => return arrivals,
            Some((Action::Lose, _)) => return arrivals,
            Some((Action::Late, _)) => {
                // Without memory, it is lost.
                let _ = self.late.push(cqe, GFP_ATOMIC);
                return arrivals;
            }
            Some((Action::Twice, _)) => extra = Some(cqe),
            Some((Action::Stray, _)) => {
                // No queue has as many tags.
                let stray = CommandId::new(CommandId::MAX_TAG, id.generation());
                extra = Some(cqe.with_id(stray));
            }
            Some((Action::Generation, _)) => {
                extra = Some(cqe.with_id(CommandId::new(id.tag(), !id.generation())));
            }
            Some((Action::Status, status)) => {
                let phase = u16::from_le(cqe.status) & 1;
                cqe.status = ((status as u16) << 1 | phase).to_le();
            }
            Some((Action::Result, result)) => cqe.result = result.to_le(),
            _ => {}
        }
        // The false one first, and the right one after it: the right one must still count.
        arrivals.now = [extra, Some(cqe)];
        arrivals
    }
}

/// The action of rule `number`, from 1, and its argument.
fn action(number: u32) -> Option<(Action, u64)> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    RULES
        .get(index)
        .map(|rule| (rule.action(), rule.argument()))
}

/// Completions, in order.
#[derive(Default)]
pub(crate) struct Arrivals {
    late: KVec<Completion>,
    now: [Option<Completion>; 2],
}

impl Iterator for Arrivals {
    type Item = Completion;

    fn next(&mut self) -> Option<Completion> {
        let late = self.late.pop();
        late.or_else(|| self.now.iter_mut().find_map(Option::take))
    }
}
