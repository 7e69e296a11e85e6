// SPDX-License-Identifier: GPL-2.0

//! Tests of the controller, by a small driver of their own.

use super::*;
use crate::{
    admin::{opcode, AsynchronousEvent},
    interrupts::{tests::Counter, Kind},
    io,
    memory::Mapping,
    settings::NamespaceSettings,
};
use serde_json::{from_value, json};
use std::time::Duration;

const PAGE: u64 = 4096;
/// Where the driver has its queues: submission and completion queue of queue n.
const SUBMISSIONS: u64 = 0x1_0000;
const COMPLETIONS: u64 = 0x2_0000;
/// Where it has data.
const DATA: u64 = 0x8_0000;
const MEMORY: usize = 0x10_0000;
const ENTRIES: u32 = 8;

/// A driver, and the controller that it drives.
struct Host {
    controller: Controller,
    wires: Vec<Counter>,
    tails: [u32; 3],
    heads: [u32; 3],
    phases: [bool; 3],
}

/// A completion queue entry as the driver reads it.
#[derive(Debug, PartialEq)]
struct Entry {
    result: u32,
    queue: u16,
    identifier: u16,
    status: u16,
}

impl Host {
    /// Returns a controller with memory and four MSI-X vectors, which is not enabled.
    fn disabled(settings: Settings) -> Self {
        let mut controller = Controller::new(settings);
        let mapping = Mapping::of_our_own(0, MEMORY, true).unwrap();
        controller.memory.guest.map(mapping);
        let wires = [(); 4].map(|()| Counter::default()).to_vec();
        let connected = wires.iter().map(Counter::wire).collect();
        controller.interrupts.connect(Kind::Msix, 0, connected);
        controller.write_space(4, &[6, 0]);
        Host {
            controller,
            wires,
            tails: [0; 3],
            heads: [0; 3],
            phases: [true; 3],
        }
    }

    /// Returns a controller that is enabled.
    fn enabled(settings: Settings) -> Self {
        let mut host = Self::disabled(settings);
        host.enable();
        host
    }

    /// Returns a controller with I/O queue 1, which has vector 1, and queue 2, which has 2.
    fn with_queues(settings: Settings) -> Self {
        let mut host = Self::enabled(settings);
        for queue in 1..=2 {
            assert_eq!(host.create(queue), (0, 0));
        }
        host
    }

    fn set(&mut self, at: u64, value: u32) {
        self.controller.write(at, &value.to_le_bytes());
    }

    fn get(&mut self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.controller.read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn enable(&mut self) {
        let zeroes = vec![0; 0x2_0000];
        self.controller.memory.write(SUBMISSIONS, &zeroes).unwrap();
        (self.tails, self.heads, self.phases) = ([0; 3], [0; 3], [true; 3]);
        self.set(offset::AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
        self.set(offset::ASQ, SUBMISSIONS as u32);
        self.set(offset::ACQ, COMPLETIONS as u32);
        self.set(offset::CC, 0x0046_0001);
    }

    fn create(&mut self, queue: u32) -> (u16, u32) {
        let base = |base: u64| base as u32 + queue * PAGE as u32;
        let completion = Command::new(opcode::CREATE_COMPLETION_QUEUE)
            .with(6, base(COMPLETIONS))
            .with(10, queue | (ENTRIES - 1) << 16)
            .with(11, queue << 16 | 3);
        let (status, _) = self.run(0, completion);
        assert_eq!(status, 0);
        let submission = Command::new(opcode::CREATE_SUBMISSION_QUEUE)
            .with(6, base(SUBMISSIONS))
            .with(10, queue | (ENTRIES - 1) << 16)
            .with(11, queue << 16 | 1);
        self.run(0, submission)
    }

    fn stride(&self) -> u64 {
        4 << self.controller.settings.stride
    }

    /// Submits a command, and returns without waiting.
    fn submit(&mut self, queue: usize, identifier: u16, mut command: Command) {
        command.0[2..4].copy_from_slice(&identifier.to_le_bytes());
        let at = SUBMISSIONS + queue as u64 * PAGE + 64 * u64::from(self.tails[queue]);
        self.controller.memory.write(at, &command.0).unwrap();
        self.tails[queue] = (self.tails[queue] + 1) % ENTRIES;
        let doorbell = offset::DOORBELLS + 2 * queue as u64 * self.stride();
        self.set(doorbell, self.tails[queue]);
    }

    /// Returns the next entry of a completion queue, if there is one.
    fn next(&mut self, queue: usize) -> Option<Entry> {
        let at = COMPLETIONS + queue as u64 * PAGE + 16 * u64::from(self.heads[queue]);
        let mut bytes = [0; 16];
        self.controller.memory.read(at, &mut bytes).unwrap();
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        if (half(14) & 1 != 0) != self.phases[queue] {
            return None;
        }
        self.heads[queue] = (self.heads[queue] + 1) % ENTRIES;
        self.phases[queue] ^= self.heads[queue] == 0;
        let entry = Entry {
            result: u32::from(half(0)) | u32::from(half(2)) << 16,
            queue: half(10),
            identifier: half(12),
            status: half(14) >> 1,
        };
        let doorbell = offset::DOORBELLS + (2 * queue as u64 + 1) * self.stride();
        self.set(doorbell, self.heads[queue]);
        Some(entry)
    }

    /// Runs a command, and returns its status and its result.
    fn run(&mut self, queue: usize, command: Command) -> (u16, u32) {
        self.submit(queue, 0x55, command);
        let entry = self.next(queue).expect("a completion");
        assert_eq!((entry.queue, entry.identifier), (queue as u16, 0x55));
        (entry.status, entry.result)
    }

    fn add(&mut self, rule: serde_json::Value) {
        self.controller.rules.add(from_value(rule).unwrap());
    }

    fn journal(&self, what: &str) -> u64 {
        self.controller.journal.counted(what)
    }

    fn later(&mut self) {
        self.controller
            .tick(Instant::now() + Duration::from_secs(10));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.journal("expected_violations") == 0 {
            let none: [String; 0] = [];
            assert_eq!(self.controller.journal.violations(), none);
        }
    }
}

fn read(block: u32) -> Command {
    Command::new(io::opcode::READ)
        .with(1, 1)
        .with(6, DATA as u32)
        .with(10, block)
}

fn flush() -> Command {
    Command::new(io::opcode::FLUSH).with(1, 1)
}

fn identify(cns: u32) -> Command {
    Command::new(opcode::IDENTIFY)
        .with(6, DATA as u32)
        .with(10, cns)
}

fn small() -> Settings {
    Settings {
        namespaces: vec![NamespaceSettings {
            mib: 1,
            ..NamespaceSettings::default()
        }],
        ..Settings::default()
    }
}

#[test]
fn written_data_is_read() {
    let mut host = Host::with_queues(small());
    host.controller.memory.write(DATA, &[7; 512]).unwrap();
    let write = Command::new(io::opcode::WRITE)
        .with(1, 1)
        .with(6, DATA as u32)
        .with(10, 3);
    assert_eq!(host.run(1, write).0, 0);
    host.controller.memory.write(DATA, &[0; 512]).unwrap();
    assert_eq!(host.run(2, read(3)).0, 0);
    assert_eq!(
        host.controller.memory.read_u64(DATA + 504),
        Ok(0x0707_0707_0707_0707)
    );
    assert_eq!([0, 1, 2, 3].map(|n| host.wires[n].count()), [4, 1, 1, 0]);
}

#[test]
fn queues_go_around_with_any_stride() {
    for stride in [0, 1, 3] {
        let mut host = Host::with_queues(Settings { stride, ..small() });
        for _ in 0..3 * ENTRIES {
            assert_eq!(host.run(2, flush()).0, 0);
        }
    }
}

#[test]
fn a_full_completion_queue_waits_for_the_host() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "action": {"repeat": 12}}));
    host.submit(1, 1, flush());
    let mut entries = 0;
    while host.next(1).is_some() {
        entries += 1;
    }
    assert_eq!(entries, 12);
}

#[test]
fn a_reset_forgets_queues_and_features() {
    let mut host = Host::with_queues(small());
    let set = Command::new(opcode::SET_FEATURES)
        .with(10, 0xb)
        .with(11, 0x300);
    let get = Command::new(opcode::GET_FEATURES).with(10, 0xb);
    host.run(0, set);
    assert_eq!(host.run(0, get), (0, 0x300));
    host.set(offset::CC, 0);
    assert_eq!(host.get(offset::CSTS), 0);
    host.enable();
    assert_eq!(host.run(0, get), (0, 0));
    assert_eq!(host.create(1), (0, 0));
}

#[test]
fn nothing_happens_without_the_bus() {
    let mut host = Host::with_queues(small());
    host.controller.write_space(4, &[2, 0]);
    host.submit(1, 1, flush());
    assert_eq!(host.next(1), None);
    assert_eq!(host.wires[1].count(), 0);
}

#[test]
fn becoming_ready_takes_its_time() {
    let mut host = Host::enabled(Settings {
        ready_ms: 5000,
        ..small()
    });
    host.controller.tick(Instant::now());
    assert_eq!(host.get(offset::CSTS), 0);
    host.later();
    assert_eq!(host.get(offset::CSTS), 1);
}

#[test]
fn a_page_size_that_is_not_supported_is_fatal() {
    let mut host = Host::enabled(Settings {
        page_min: 1,
        ..small()
    });
    assert_eq!(host.get(offset::CSTS), 2);
    host.controller.journal.count("expected_violations");
}

#[test]
fn a_command_that_is_held_can_be_aborted() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "count": 1, "action": "hold"}));
    host.submit(1, 7, flush());
    host.later();
    assert_eq!(host.next(1), None);
    let abort = |identifier: u32| Command::new(opcode::ABORT).with(10, 1 | identifier << 16);
    assert_eq!(host.run(0, abort(8)), (0, 1));
    assert_eq!(host.run(0, abort(7)), (0, 0));
    assert_eq!(host.next(1).unwrap().status, Status::ABORT_REQUESTED.0);
    assert_eq!(host.run(0, abort(7)), (0, 1));
}

#[test]
fn a_queue_that_is_deleted_aborts_its_commands() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "action": "hold"}));
    host.submit(1, 7, flush());
    let delete = Command::new(opcode::DELETE_SUBMISSION_QUEUE).with(10, 1);
    assert_eq!(host.run(0, delete).0, 0);
    assert_eq!(host.next(1).unwrap().status, Status::ABORT_REQUESTED.0);
}

#[test]
fn rules_change_completions() {
    for (action, entries) in [
        (json!("lose"), vec![]),
        (json!({"repeat": 2}), vec![(7, 0), (7, 0)]),
        (json!({"status": 6}), vec![(7, 6)]),
        (json!({"refuse": 6}), vec![(7, 6)]),
        (json!({"identifier": 9}), vec![(9, 0)]),
        (json!({"extra": 9}), vec![(9, 0), (7, 0)]),
        (json!({"similar": 0x1000}), vec![(0x1007, 0), (7, 0)]),
        (json!("phase"), vec![]),
        (json!("silent"), vec![(7, 0)]),
    ] {
        let mut host = Host::with_queues(small());
        let silent = action == "silent" || action == "lose";
        host.add(json!({"queue": 2, "skip": 2, "count": 1, "action": action}));
        for _ in 0..2 {
            assert_eq!(host.run(2, flush()).0, 0);
        }
        host.submit(2, 7, flush());
        let mut found = Vec::new();
        while let Some(entry) = host.next(2) {
            found.push((entry.identifier, entry.status));
        }
        assert_eq!(found, entries, "{action}");
        assert_eq!(host.wires[2].count() == 2, silent, "{action}");
        assert_eq!(host.journal("rules_met"), 1);
    }
}

#[test]
fn late_completions_come_later() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "count": 1, "action": {"delay": 2000}}));
    host.add(json!({"queue": 1, "action": {"delay": 1000}}));
    host.submit(1, 1, flush());
    host.submit(1, 2, flush());
    host.controller.tick(Instant::now());
    assert_eq!(host.next(1), None);
    host.later();
    let order = [1, 2].map(|_| host.next(1).unwrap().identifier);
    assert_eq!(order, [2, 1]);
}

#[test]
fn entries_share_an_interrupt() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "count": 2, "action": {"coalesce": 1000}}));
    host.submit(1, 1, flush());
    host.submit(1, 2, flush());
    host.controller.tick(Instant::now());
    assert_eq!(host.wires[1].count(), 0);
    assert_eq!([1, 2].map(|_| host.next(1).unwrap().identifier), [1, 2]);
    host.later();
    host.later();
    assert_eq!(host.wires[1].count(), 1);
}

#[test]
fn an_entry_has_several_interrupts() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "action": {"split": 2}}));
    host.submit(1, 1, flush());
    assert_eq!(host.next(1).unwrap().identifier, 1);
    assert_eq!(host.wires[1].count(), 3);
}

#[test]
fn a_completion_that_is_kept_outlives_a_reset() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 0, "opcode": 6, "count": 1, "action": "keep"}));
    host.submit(0, 7, identify(1));
    host.later();
    assert_eq!(host.next(0), None);
    host.set(offset::CC, 0);
    host.enable();
    host.controller.release_kept();
    assert_eq!(host.next(0).unwrap().identifier, 7);
}

#[test]
fn completions_without_end_end_with_their_rule() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "count": 1, "action": {"endless": 0xffff}}));
    host.submit(1, 7, flush());
    assert_eq!(host.next(1).unwrap().identifier, 7);
    for _ in 0..3 {
        host.later();
        while let Some(entry) = host.next(1) {
            assert_eq!(entry.identifier, 0xffff);
        }
    }
    host.later();
    host.controller.rules.clear();
    while host.next(1).is_some() {}
    host.later();
    assert_eq!(host.next(1), None);
}

#[test]
fn a_reset_of_the_subsystem_is_told_until_the_host_clears_it() {
    let told = 1 << 4;
    let mut host = Host::enabled(small());
    host.controller.reset_subsystem();
    assert_eq!(host.get(offset::CSTS), 1);
    host.controller
        .change(json!({"subsystem_reset": true}))
        .unwrap();
    host.controller.reset_subsystem();
    assert_eq!(host.get(offset::CSTS), told);
    host.enable();
    assert_eq!(host.get(offset::CSTS), told | 1);
    host.set(offset::CC, 0);
    host.set(offset::CSTS, told);
    assert_eq!(host.get(offset::CSTS), 0);
}

#[test]
fn rules_change_data_and_registers() {
    let mut host = Host::enabled(small());
    host.add(json!({"opcode": 6, "selector": 1, "count": 1,
        "action": {"patch": {"at": 77, "bytes": [9]}}}));
    host.add(json!({"opcode": 6, "action": {"data": "ones"}}));
    host.add(json!({"register": 8, "action": {"read": 0x20000}}));
    host.add(json!({"register": 0x1c, "action": {"bits": {"clear": 1, "set": 2}}}));
    let mut mdts = [0];
    for expected in [9, 0xff] {
        assert_eq!(host.run(0, identify(1)).0, 0);
        host.controller.memory.read(DATA + 77, &mut mdts).unwrap();
        assert_eq!(mdts, [expected]);
    }
    assert_eq!(host.get(offset::VS), 0x20000);
    assert_eq!(host.get(offset::CSTS), 2);
    assert_eq!(host.get(offset::AQA), 0x0007_0007);
}

#[test]
fn a_controller_that_is_gone_reads_as_ones() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": "io", "action": "gone"}));
    host.submit(1, 1, flush());
    assert_eq!(host.next(1), None);
    assert_eq!(host.get(offset::CSTS), u32::MAX);
    host.controller.make_sane();
    assert_eq!(host.get(offset::CSTS), 0);
}

#[test]
fn an_event_completes_a_request() {
    let mut host = Host::enabled(small());
    let request = Command::new(opcode::ASYNCHRONOUS_EVENT_REQUEST);
    let event = AsynchronousEvent {
        kind: 2,
        information: 0,
        log: 4,
    };
    host.submit(0, 9, request);
    assert_eq!(host.next(0), None);
    host.controller.happen(event);
    host.controller.happen(event);
    let entry = host.next(0).unwrap();
    assert_eq!((entry.identifier, entry.result), (9, 0x0004_0002));
    host.submit(0, 10, request);
    assert_eq!(host.next(0), None);
    // Reading the log page lets the next event through, which comes first.
    let log = Command::new(opcode::GET_LOG_PAGE)
        .with(6, DATA as u32)
        .with(10, 4 | 0xff << 16);
    host.submit(0, 11, log);
    assert_eq!(host.next(0).unwrap().identifier, 10);
    assert_eq!(host.next(0).unwrap().identifier, 11);
}

#[test]
fn shadow_doorbells_are_obeyed_late() {
    let mut host = Host::with_queues(Settings {
        shadow_doorbells: true,
        ..small()
    });
    let (doorbells, events) = (DATA, DATA + PAGE);
    let config = Command::new(opcode::DOORBELL_BUFFER_CONFIG)
        .with(6, doorbells as u32)
        .with(8, events as u32);
    assert_eq!(host.run(0, config).0, 0);
    let command = flush();
    host.controller
        .memory
        .write(SUBMISSIONS + PAGE, &command.0)
        .unwrap();
    host.controller.memory.write(doorbells + 8, &[1]).unwrap();
    assert_eq!(host.next(1), None);
    host.controller.tick(Instant::now());
    assert_eq!(host.journal("shadows_obeyed"), 1);
    // The event index is behind the tail, which a host never passes.
    assert_eq!(
        host.controller.memory.read_u64(events + 8),
        Ok(0xffff_0000_0000)
    );
    host.controller.memory.write(doorbells + 12, &[1]).unwrap();
    assert!(host.next(1).is_some());
}

#[test]
fn a_host_buffer_is_used_and_given_back() {
    let mut host = Host::enabled(Settings {
        hmb_preferred: 2,
        hmb_minimum: 1,
        ..small()
    });
    let (list, buffer) = (DATA, DATA + PAGE);
    let mut descriptor = [0; 16];
    descriptor[..8].copy_from_slice(&buffer.to_le_bytes());
    descriptor[8] = 2;
    host.controller.memory.write(list, &descriptor).unwrap();
    let set = |enable: u32| {
        Command::new(opcode::SET_FEATURES)
            .with(10, 0xd)
            .with(11, enable)
            .with(12, 2)
            .with(13, list as u32)
            .with(15, 1)
    };
    assert_eq!(host.run(0, set(1)).0, 0);
    host.controller.tick(Instant::now());
    assert_eq!(host.journal("hmb_pages"), 4);
    assert_eq!(host.run(0, set(0)).0, 0);
    // Returned after a reset, as it was.
    host.set(offset::CC, 0);
    host.controller.memory.write(list, &descriptor).unwrap();
    host.enable();
    assert_eq!(host.run(0, set(3)).0, 0);
    assert_eq!(host.journal("hmb_returned"), 1);
    host.controller.tick(Instant::now());
    host.controller
        .memory
        .write(buffer, &[0; 2 * PAGE as usize])
        .unwrap();
    assert_eq!(host.run(0, set(0)).0, 0);
    assert_eq!(host.journal("violations"), 1);
    host.controller.journal.count("expected_violations");
}

#[test]
fn wrong_queues_are_refused() {
    let mut host = Host::with_queues(small());
    let create = |queue: u32, size: u32, vector: u32| {
        Command::new(opcode::CREATE_COMPLETION_QUEUE)
            .with(6, DATA as u32)
            .with(10, queue | size << 16)
            .with(11, vector << 16 | 3)
    };
    for (command, status) in [
        (create(0, 7, 0), Status::INVALID_QUEUE_IDENTIFIER),
        (create(1, 7, 0), Status::INVALID_QUEUE_IDENTIFIER),
        (create(17, 7, 0), Status::INVALID_QUEUE_IDENTIFIER),
        (create(3, 0, 0), Status::INVALID_QUEUE_SIZE),
        (create(3, 256, 0), Status::INVALID_QUEUE_SIZE),
        (create(3, 7, 32), Status::INVALID_VECTOR),
    ] {
        assert_eq!(host.run(0, command).0, status.0);
    }
    let delete = |opcode, queue| Command::new(opcode).with(10, queue);
    for (command, status) in [
        (
            delete(opcode::DELETE_COMPLETION_QUEUE, 1),
            Status::INVALID_QUEUE_DELETION,
        ),
        (delete(opcode::DELETE_SUBMISSION_QUEUE, 1), Status::SUCCESS),
        (delete(opcode::DELETE_COMPLETION_QUEUE, 1), Status::SUCCESS),
        (
            delete(opcode::DELETE_COMPLETION_QUEUE, 1),
            Status::INVALID_QUEUE_IDENTIFIER,
        ),
        (
            delete(opcode::DELETE_SUBMISSION_QUEUE, 0),
            Status::INVALID_QUEUE_IDENTIFIER,
        ),
    ] {
        assert_eq!(host.run(0, command).0, status.0);
    }
    host.controller.journal.count("expected_violations");
}

#[test]
fn a_doorbell_of_no_queue_is_a_violation() {
    let mut host = Host::enabled(small());
    host.set(offset::DOORBELLS + 8, 1);
    assert_eq!(host.journal("violations"), 1);
    host.set(offset::CC, 0);
    host.set(offset::DOORBELLS, 1);
    assert_eq!(host.journal("violations"), 2);
    host.controller.journal.count("expected_violations");
}

#[test]
fn formats_can_be_changed() {
    let mut host = Host::with_queues(small());
    let format = |format| Command::new(opcode::FORMAT_NVM).with(1, 1).with(10, format);
    assert_eq!(host.run(0, format(1)).0, 0);
    assert_eq!(host.run(1, read(255)).0, 0);
    assert_eq!(host.run(1, read(256)).0, Status::LBA_OUT_OF_RANGE.0);
    assert_eq!(host.run(0, format(2)).0, Status::INVALID_FORMAT.0);
}

#[test]
fn a_stray_write_goes_where_nobody_said() {
    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "action": {"stray": 0xf_0000}}));
    assert_eq!(host.run(1, flush()).0, 0);
    assert_ne!(host.controller.memory.read_u64(0xf_0000), Ok(0));
    assert_eq!(host.journal("stray_writes"), 1);

    let mut host = Host::with_queues(small());
    host.add(json!({"queue": 1, "action": {"stray": MEMORY}}));
    assert_eq!(host.run(1, flush()).0, 0);
    assert_eq!(host.journal("stray_faults"), 1);
}

#[test]
fn the_same_seed_gives_the_same_device() {
    let run = |seed| {
        let mut host = Host::with_queues(Settings { seed, ..small() });
        host.add(json!({"queue": 1, "action": "garbage"}));
        host.submit(1, 1, flush());
        host.next(1)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_queue_may_be_in_the_controller() {
    let mut host = Host::enabled(Settings {
        cmb_mib: 1,
        ..small()
    });
    // Nothing of the guest's is there.
    let base = MEMORY as u64;
    host.set(offset::CMBMSC, base as u32 | 3);
    let completion = Command::new(opcode::CREATE_COMPLETION_QUEUE)
        .with(6, (COMPLETIONS + PAGE) as u32)
        .with(10, 1 | (ENTRIES - 1) << 16)
        .with(11, 3);
    assert_eq!(host.run(0, completion).0, 0);
    let submission = Command::new(opcode::CREATE_SUBMISSION_QUEUE)
        .with(6, base as u32)
        .with(10, 1 | (ENTRIES - 1) << 16)
        .with(11, 1 << 16 | 1);
    assert_eq!(host.run(0, submission).0, 0);
    host.controller.write_buffer(0, &flush().0);
    host.set(offset::DOORBELLS + 8, 1);
    assert_eq!(host.next(1).unwrap().status, 0);
}
