// SPDX-License-Identifier: GPL-2.0

//! The controller, which is made of the layers below.

mod complete;
mod reset;
#[cfg(test)]
mod tests;

use crate::{
    admin::{Events, Features, HostBuffer, Shadow},
    behaviours::{Action, Event, Filling, Rules},
    command::{Command, Completion, Status},
    interrupts::Interrupts,
    journal::Journal,
    memory::{Buffer, Bus, Memory},
    namespace::Namespace,
    pci::{self, Space},
    queues::{CompletionQueue, Doorbell, SubmissionQueue},
    random::Random,
    registers::{self, offset, Registers, Request},
    settings::Settings,
    transfer::{self, Refusal},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// What a command results in: its dword 0, or nothing yet.
pub(crate) type Answer = Result<Option<u32>, Status>;

/// A completion that is held back.
pub(crate) struct Held {
    /// The submission queue of the command.
    pub(crate) queue: u16,
    pub(crate) entry: Completion,
    completion: u16,
    /// When it is due. If never, the command can only be aborted.
    due: Option<Instant>,
}

/// A controller.
pub struct Controller {
    pub(crate) settings: Settings,
    /// The settings that it began with.
    first: Settings,
    pub(crate) space: Space,
    pub(crate) registers: Registers,
    /// Its interrupts.
    pub interrupts: Interrupts,
    /// The memory that it accesses.
    pub memory: Bus,
    pub(crate) submissions: BTreeMap<u16, SubmissionQueue>,
    pub(crate) completions: BTreeMap<u16, CompletionQueue>,
    /// The entries of each completion queue for which there is no room yet.
    pub(crate) waiting: BTreeMap<u16, VecDeque<Completion>>,
    pub(crate) held: Vec<Held>,
    /// When the completion queues whose interrupts a rule coalesces will interrupt.
    interrupts_due: BTreeMap<u16, Instant>,
    /// The completions that a rule keeps, which outlive resets.
    kept: Vec<Held>,
    /// The completion queues that are filled without end, with the entry.
    endless: BTreeMap<u16, Completion>,
    pub(crate) features: Features,
    pub(crate) events: Events,
    pub(crate) host_buffer: Option<HostBuffer>,
    /// The host memory buffer that the controller had last.
    pub(crate) former_buffer: Option<HostBuffer>,
    pub(crate) shadow: Option<Shadow>,
    pub(crate) namespaces: Vec<Namespace>,
    /// What goes wrong.
    pub rules: Rules,
    /// What becomes of the command that is obeyed now.
    pub(crate) current: Option<Action>,
    pub(crate) random: Random,
    /// What has happened.
    pub journal: Journal,
    /// When it becomes ready.
    ready_at: Option<Instant>,
    /// Whether it has vanished from its bus.
    gone: bool,
}

impl Controller {
    /// Returns a controller that nobody has enabled.
    pub fn new(settings: Settings) -> Self {
        Controller {
            first: settings.clone(),
            space: Space::new(&settings),
            registers: Registers::default(),
            interrupts: Interrupts::default(),
            memory: Bus {
                buffer: Buffer::new((settings.cmb_mib as usize) << 20),
                ..Bus::default()
            },
            submissions: BTreeMap::new(),
            completions: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: Vec::new(),
            interrupts_due: BTreeMap::new(),
            kept: Vec::new(),
            endless: BTreeMap::new(),
            features: Features::default(),
            events: Events::default(),
            host_buffer: None,
            former_buffer: None,
            shadow: None,
            namespaces: Namespace::all(&settings),
            rules: Rules::default(),
            current: None,
            random: Random::new(settings.seed),
            journal: Journal::default(),
            ready_at: None,
            gone: false,
            settings,
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes settings. A namespace that is changed loses its data.
    pub fn change(&mut self, changes: serde_json::Value) -> Result<(), String> {
        let before = self.settings.clone();
        self.settings.change(changes)?;
        self.settle(&before);
        Ok(())
    }

    /// Makes what depends on the settings follow them.
    fn settle(&mut self, before: &Settings) {
        if self.settings.namespaces != before.namespaces || self.settings.serial != before.serial {
            self.namespaces = Namespace::all(&self.settings);
        }
        if self.settings.seed != before.seed {
            self.random = Random::new(self.settings.seed);
        }
    }

    /// Makes it vanish from its bus, or come back.
    pub fn set_gone(&mut self, gone: bool) {
        self.gone = gone;
    }

    /// The host reads the configuration space.
    pub fn read_space(&self, at: u64, to: &mut [u8]) {
        if self.gone {
            to.fill(0xff);
        } else {
            self.space.read(at as usize, to);
        }
    }

    /// The host writes the configuration space.
    pub fn write_space(&mut self, at: u64, from: &[u8]) {
        if self.gone {
            return;
        }
        if self.space.write(at as usize, from) {
            self.reset_function();
        }
        self.place_buffer();
    }

    /// Makes the controller memory buffer known by the address that the host has set.
    pub(super) fn place_buffer(&mut self) {
        let bar = self.space.bar(pci::BUFFER);
        let base = (self.settings.cmb_mib > 0)
            .then(|| self.registers.buffer_base(&self.settings, bar))
            .flatten();
        self.memory.buffer.set_base(base);
    }

    /// The host reads the controller memory buffer.
    pub fn read_buffer(&self, at: u64, to: &mut [u8]) {
        if self.gone {
            to.fill(0xff);
        } else {
            self.memory.buffer.read(at, to);
        }
    }

    /// The host writes the controller memory buffer.
    pub fn write_buffer(&mut self, at: u64, from: &[u8]) {
        if !self.gone {
            self.memory.buffer.write(at, from);
        }
    }

    /// The host reads registers.
    pub fn read(&mut self, at: u64, to: &mut [u8]) {
        self.journal.count("reads");
        if self.gone {
            return to.fill(0xff);
        }
        if at % 4 != 0 || to.len() % 4 != 0 {
            let what = format!("{} bytes are read at {at:#x}", to.len());
            self.journal.violation(what);
        }
        let first = at & !3;
        let mut bytes = Vec::with_capacity(to.len() + 8);
        for word in (first..at + to.len() as u64).step_by(4) {
            bytes.extend(self.read_register(word).to_le_bytes());
        }
        let skipped = (at - first) as usize;
        to.copy_from_slice(&bytes[skipped..skipped + to.len()]);
    }

    fn read_register(&mut self, at: u64) -> u32 {
        let (mut clear, mut set) = (0, 0);
        if let Some(action) = self.rules.meet(Event::Read(at), &mut self.random) {
            self.journal.count("rules_met");
            match action {
                Action::Read(value) => return value.get(&mut self.random) as u32,
                Action::Bits { clear: c, set: s } => (clear, set) = (c, s),
                Action::Fail => self.registers.fail(),
                Action::Gone => {
                    self.gone = true;
                    return u32::MAX;
                }
                _ => {}
            }
        }
        let value = match at {
            offset::INTMS | offset::INTMC => self.interrupts.masked(),
            _ => self.registers.read(&self.settings, at),
        };
        value & !clear | set
    }

    /// The host writes registers, or rings doorbells.
    pub fn write(&mut self, at: u64, from: &[u8]) {
        if self.gone {
            return;
        }
        if at % 4 != 0 || from.len() % 4 != 0 {
            let what = format!("{} bytes are written at {at:#x}", from.len());
            self.journal.violation(what);
            return;
        }
        for (word, bytes) in (at..).step_by(4).zip(from.chunks_exact(4)) {
            let value = u32::from_le_bytes([0, 1, 2, 3].map(|n| bytes[n]));
            if word >= offset::DOORBELLS {
                self.write_doorbell(word - offset::DOORBELLS, value);
            } else {
                self.write_register(word, value);
            }
        }
    }

    fn write_register(&mut self, at: u64, value: u32) {
        if at == offset::CSTS && value & registers::SUBSYSTEM_RESET != 0 {
            self.journal.count("subsystem_resets_seen");
        }
        match self.registers.write(at, value) {
            Request::Nothing => self.place_buffer(),
            Request::Enable => self.enable(),
            Request::Disable => self.disable(),
            Request::ShutDown => {
                self.journal.count("shutdowns");
                self.registers.set_shut_down();
            }
            Request::ResetSubsystem => self.reset_subsystem(),
            Request::Mask(vectors) => self.interrupts.mask(vectors),
            Request::Unmask(vectors) => {
                self.interrupts.unmask(vectors);
                self.update_pin();
            }
            Request::Violation => {
                let what = format!("register {at:#x} is written, {value:#x}");
                self.journal.violation(what);
            }
        }
    }

    fn write_doorbell(&mut self, at: u64, value: u32) {
        self.journal.count("doorbells");
        match Doorbell::at(at, self.settings.stride) {
            Some(doorbell) if self.registers.is_ready() => self.ring(doorbell, value),
            Some(doorbell) => {
                let what = format!("{doorbell:?} is rung, but the controller is not ready");
                self.journal.violation(what);
            }
            None => {
                let what = format!("there is no doorbell at {at:#x}");
                self.journal.violation(what);
            }
        }
    }

    /// The host rings a doorbell, or its shadow.
    pub(crate) fn ring(&mut self, doorbell: Doorbell, value: u32) {
        let done = match doorbell {
            Doorbell::Tail(queue) => (self.submissions.get_mut(&queue)).map(|one| one.ring(value)),
            Doorbell::Head(queue) => (self.completions.get_mut(&queue)).map(|one| one.ring(value)),
        };
        match done {
            Some(Ok(())) => {}
            Some(Err(invalid)) => self
                .journal
                .violation(format!("{doorbell:?}: {}", invalid.0)),
            None => self
                .journal
                .violation(format!("{doorbell:?}: no such queue")),
        }
        match doorbell {
            Doorbell::Tail(queue) => self.obey(queue),
            Doorbell::Head(queue) => {
                self.post_waiting(queue);
                self.update_pin();
            }
        }
    }

    /// Obeys the commands of a submission queue.
    fn obey(&mut self, queue: u16) {
        while !self.gone && self.registers.is_ready() && self.space.is_master() {
            let Some(address) = (self.submissions.get_mut(&queue)).and_then(|one| one.take())
            else {
                return;
            };
            let mut command = Command([0; 64]);
            if self.memory.read(address, &mut command.0).is_err() {
                let what = format!("queue {queue} has a command at {address:#x}");
                self.journal.violation(what);
                self.registers.fail();
                return;
            }
            self.obey_command(queue, &command);
        }
    }

    fn obey_command(&mut self, queue: u16, command: &Command) {
        let event = Event::Command {
            queue,
            opcode: command.opcode(),
            selector: command.dword(10) as u8,
        };
        self.current = self.rules.meet(event, &mut self.random);
        if self.current.is_some() {
            self.journal.count("rules_met");
        }
        let answer = match self.current {
            Some(Action::Refuse(status)) => Err(Status(status)),
            Some(Action::Lose) => Ok(None),
            Some(Action::Fail) => {
                self.registers.fail();
                Ok(None)
            }
            Some(Action::Gone) => {
                self.gone = true;
                Ok(None)
            }
            _ if queue == 0 => self.admin(command),
            _ => self.io(command),
        };
        let action = self.current.take();
        let (result, status) = match answer {
            Ok(Some(result)) => (result, Status::SUCCESS),
            Ok(None) => return,
            Err(status) => (0, status),
        };
        let Some(submission) = self.submissions.get(&queue) else {
            return;
        };
        let completion = submission.completion;
        let entry = Completion {
            result,
            head: submission.head(),
            queue,
            identifier: command.identifier(),
            status,
        };
        self.complete(completion, entry, action);
    }

    /// Writes a command's data to the host.
    pub(crate) fn give(&mut self, command: &Command, mut data: Vec<u8>) -> Result<(), Status> {
        match &self.current {
            Some(Action::Data(Filling::Zeroes)) => data.fill(0),
            Some(Action::Data(Filling::Ones)) => data.fill(0xff),
            Some(Action::Data(Filling::Random)) => self.random.fill(&mut data),
            Some(Action::Patch { at, bytes }) => {
                for (to, from) in data.iter_mut().skip(*at).zip(bytes) {
                    *to = *from;
                }
            }
            _ => {}
        }
        let page = self.registers.page();
        transfer::pieces(&self.memory, command, data.len(), page)
            .and_then(|pieces| transfer::give(&mut self.memory, &pieces, &data))
            .map_err(|refusal| self.complain(refusal))
    }

    /// Reads a command's data from the host.
    pub(crate) fn take(&mut self, command: &Command, data: &mut [u8]) -> Result<(), Status> {
        let page = self.registers.page();
        transfer::pieces(&self.memory, command, data.len(), page)
            .and_then(|pieces| transfer::take(&self.memory, &pieces, data))
            .map_err(|refusal| self.complain(refusal))
    }

    /// Notes what is wrong with a command's data, and returns its status.
    pub(crate) fn complain(&mut self, refusal: Refusal) -> Status {
        self.journal.violation(refusal.why);
        refusal.status
    }

    /// Does what the controller does by itself. To be called every now and then.
    pub fn tick(&mut self, now: Instant) {
        if self.gone {
            return;
        }
        if self.ready_at.is_some_and(|at| at <= now) {
            self.ready_at = None;
            self.registers.set_ready(true);
        }
        if !self.registers.is_ready() || !self.space.is_master() {
            return;
        }
        self.release_due(now);
        self.flood();
        self.read_shadow();
        self.exercise_host_buffer();
    }
}
