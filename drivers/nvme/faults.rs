// SPDX-License-Identifier: GPL-2.0

//! Device faults on demand, to test what the driver does about them.
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
//! - `register`: `NAME clear=MASK set=MASK` changes the value that `CSTS` or `CAP` is read as, or
//!   `TotalVFs` for the folders of VFs; `clear` ends that.
//! - `gone`: 1 makes the device disappear, with its registers and its configuration space; 0 brings it
//!   back.
//! - `release`: any write has the `late` completions of each queue arrive with the queue's next
//!   completion.

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
use kernel_ext::{
    nvme::{
        Command,
        CommandId,
        Completion,
        CompletionRing,
        Entries,
        Entry,
        FaultData,
        Transport, //
    },
    sync::rcu::Reader, //
};

/// The rules about commands.
static RULES: [Rule; 16] = [const { Rule::new() }; 16];

/// Changes to Controller Status as it is read.
static CSTS_BITS: Bits = Bits::new();

/// Changes to Controller Capabilities as it is read.
static CAP_BITS: Bits = Bits::new();

/// Changes to TotalVFs.
static TOTAL_VFS_BITS: Bits = Bits::new();

/// Whether the device is gone.
static GONE: Atomic<bool> = Atomic::new(false);

/// Whether the controller has failed: CSTS.CFS is set and no command completes, until it is
/// disabled.
static FAILED: Atomic<bool> = Atomic::new(false);

/// How often late completions were released.
static RELEASES: Atomic<u32> = Atomic::new(0);

/// The files in debugfs, which exist as long as the module is loaded.
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
    /// Creates the files.
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
            TOTAL_VFS_BITS.clear();
            return Ok(());
        }
        match text.split_once(' ').ok_or(EINVAL)? {
            ("CSTS", masks) => CSTS_BITS.set(masks),
            ("CAP", masks) => CAP_BITS.set(masks),
            ("TotalVFs", masks) => TOTAL_VFS_BITS.set(masks),
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

/// Returns what the driver is to read from the 32-bit register at `offset`, whose value is `value`.
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

/// Returns what the driver is to read from the 64-bit register at `offset`, whose value is `value`.
pub(crate) fn read64(offset: usize, value: u64) -> u64 {
    if is_gone() {
        return u64::MAX;
    }
    match offset {
        CAP::OFFSET => CAP_BITS.read(value),
        _ => value,
    }
}

/// Returns how many VFs the driver is to believe that a function has, which says that it has `total`.
pub(crate) fn total_vfs(total: u16) -> u16 {
    TOTAL_VFS_BITS.read(total.into()) as u16
}

/// Returns whether the write of `value` to the 32-bit register at `offset` is to be left out.
pub(crate) fn loses_write(offset: usize, value: u32) -> bool {
    if offset == cc::OFFSET && value & cc::EN == 0 {
        FAILED.store(false, Relaxed);
    }
    is_gone()
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
    let received = Received {
        fates,
        late: KVec::new(),
        is_flooded: false,
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
    /// Notes which rule `command` meets, which is about to be sent.
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
    /// Whether the queue has met a `flood`.
    is_flooded: bool,
    /// How often late completions had been released when these were last looked at.
    releases: u32,
}

impl Received {
    /// Returns the entries that the queue is to see instead of the new ones of `ring`.
    pub(crate) fn entries<'ring, T: Transport>(
        &'ring mut self,
        ring: &'ring mut CompletionRing<T>,
        rcu: Reader<'ring>,
    ) -> Arriving<'ring, T> {
        Arriving {
            received: self,
            entries: ring.entries(rcu),
            last: None,
        }
    }

    /// Returns the next new entry of the queue, which is `cqe`, or one that is made up.
    fn invent(&mut self, cqe: Option<Completion>) -> Option<Completion> {
        if cqe.is_some() || !self.is_flooded {
            return cqe;
        }
        self.is_flooded = RULES.iter().any(|rule| rule.action() == Action::Flood);
        self.is_flooded.then(|| stray(Completion::default(), 0))
    }

    /// Returns whether the queue is to overlook the new entry `cqe` this time.
    fn misses(&self, cqe: &Completion) -> bool {
        let Some(fate) = fate(&self.fates, cqe.id()) else {
            return false;
        };
        let missed = action(fate.load(Relaxed)).is_some_and(|(a, _)| a == Action::Missed);
        if missed {
            fate.store(0, Relaxed);
        }
        missed
    }

    /// Returns the completions that the queue is to see instead of `cqe`.
    fn arrivals(&mut self, mut cqe: Completion) -> Arrivals {
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
            Some((Action::Stray, _)) => extra = Some(stray(cqe, id.generation())),
            Some((Action::Flood, _)) => self.is_flooded = true,
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
        // The false one comes first: the right one after it must still be taken.
        arrivals.now = [extra, Some(cqe)];
        arrivals
    }
}

/// Returns `cqe` with a tag that no queue has.
fn stray(cqe: Completion, generation: u8) -> Completion {
    cqe.with_id(CommandId::new(CommandId::MAX_TAG, generation))
}

/// Returns the action of rule `number`, from 1, and its argument.
fn action(number: u32) -> Option<(Action, u64)> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    RULES
        .get(index)
        .map(|rule| (rule.action(), rule.argument()))
}

/// What a queue is to see instead of its new entries.
pub(crate) struct Arriving<'ring, T: Transport> {
    received: &'ring mut Received,
    entries: Entries<'ring, T>,
    /// The entry that was taken last, and what is still to be seen instead of it.
    last: Option<(Entry<'ring, T>, Arrivals)>,
}

impl<'ring, T: Transport> Iterator for Arriving<'ring, T> {
    type Item = Entry<'ring, T>;

    fn next(&mut self) -> Option<Entry<'ring, T>> {
        loop {
            if let Some((entry, arrivals)) = &mut self.last {
                if let Some(cqe) = arrivals.next() {
                    return Some(entry.altered(cqe));
                }
            }
            // The next new entry, or one that is made up.
            let entry = self.entries.next_altered(|found| {
                let cqe = self.received.invent(found)?;
                (!self.received.misses(&cqe)).then_some(cqe)
            })?;
            let arrivals = self.received.arrivals(entry.completion());
            self.last = Some((entry, arrivals));
        }
    }
}

/// Completions in the order in which the queue is to see them.
#[derive(Default)]
struct Arrivals {
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
