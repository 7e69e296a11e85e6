// SPDX-License-Identifier: GPL-2.0

//! Asynchronous events (Base Specification 2.1, section 5.1.2).

use crate::{
    command::{Command, Completion, Status},
    controller::{Answer, Controller},
};
use serde::Deserialize;
use std::collections::VecDeque;

/// The most events that wait for a request.
const WAITING: usize = 64;

/// An event.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AsynchronousEvent {
    /// Its type: 0 for an error, 1 for health, 2 for a notice, 6 for an I/O command set's, 7
    /// for a vendor's.
    #[serde(rename = "type")]
    pub kind: u8,
    /// What it is about.
    #[serde(default)]
    pub information: u8,
    /// The log page that has more, and that clears the event when it is read.
    #[serde(default)]
    pub log: u8,
}

impl AsynchronousEvent {
    /// Returns dword 0 of the completion.
    pub fn result(self) -> u32 {
        u32::from(self.kind & 7) | u32::from(self.information) << 8 | u32::from(self.log) << 16
    }
}

/// Requests for events, and events.
#[derive(Debug, Default)]
pub struct Events {
    requests: VecDeque<u16>,
    waiting: VecDeque<AsynchronousEvent>,
    /// The events whose types are masked until the host reads their log page.
    masking: Vec<AsynchronousEvent>,
}

impl Events {
    /// Keeps a request. `limit` is AERL.
    pub fn request(&mut self, identifier: u16, limit: u8) -> Result<(), Status> {
        if self.requests.len() > usize::from(limit) {
            return Err(Status::EVENT_LIMIT_EXCEEDED);
        }
        self.requests.push_back(identifier);
        Ok(())
    }

    /// Removes a request that is aborted. Returns whether there was one.
    pub fn cancel(&mut self, identifier: u16) -> bool {
        let before = self.requests.len();
        self.requests.retain(|request| *request != identifier);
        self.requests.len() < before
    }

    /// An event has happened.
    pub fn happen(&mut self, event: AsynchronousEvent) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(event);
        }
    }

    /// Returns the next request that completes, and the event that does it.
    pub fn deliver(&mut self) -> Option<(u16, AsynchronousEvent)> {
        let masked =
            |event: &AsynchronousEvent| self.masking.iter().any(|one| one.kind == event.kind);
        let index = self.waiting.iter().position(|event| !masked(event))?;
        let request = self.requests.pop_front()?;
        let event = self.waiting.remove(index)?;
        self.masking.push(event);
        Some((request, event))
    }

    /// The host has read a log page, and not asked to retain the event.
    pub fn read_log(&mut self, log: u8) {
        self.masking.retain(|event| event.log != log);
    }
}

impl Controller {
    pub(super) fn request_event(&mut self, command: &Command) -> Answer {
        let limit = self.settings.event_limit;
        self.events.request(command.identifier(), limit)?;
        self.send_events();
        Ok(None)
    }

    /// An event has happened.
    pub fn happen(&mut self, event: AsynchronousEvent) {
        self.events.happen(event);
        self.send_events();
    }

    /// Completes the requests for which there are events.
    pub(super) fn send_events(&mut self) {
        if !self.registers.is_ready() {
            return;
        }
        while let Some((identifier, event)) = self.events.deliver() {
            self.journal.count("events");
            let head = self.submissions.get(&0).map_or(0, |queue| queue.head());
            self.post(
                0,
                Completion {
                    result: event.result(),
                    head,
                    queue: 0,
                    identifier,
                    status: Status::SUCCESS,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, log: u8) -> AsynchronousEvent {
        AsynchronousEvent {
            kind,
            information: 3,
            log,
        }
    }

    #[test]
    fn the_result_has_the_fields() {
        assert_eq!(event(2, 4).result(), 0x0004_0302);
    }

    #[test]
    fn an_event_waits_for_a_request_and_masks_its_type() {
        let mut events = Events::default();
        events.happen(event(2, 4));
        events.happen(event(2, 4));
        events.happen(event(1, 2));
        assert_eq!(events.deliver(), None);
        for identifier in 0..3 {
            events.request(identifier, 3).unwrap();
        }
        assert_eq!(events.deliver(), Some((0, event(2, 4))));
        assert_eq!(events.deliver(), Some((1, event(1, 2))));
        assert_eq!(events.deliver(), None);
        events.read_log(4);
        assert_eq!(events.deliver(), Some((2, event(2, 4))));
    }

    #[test]
    fn requests_have_a_limit() {
        let mut events = Events::default();
        events.request(0, 1).unwrap();
        events.request(1, 1).unwrap();
        assert_eq!(events.request(2, 1), Err(Status::EVENT_LIMIT_EXCEEDED));
        assert!(events.cancel(0));
        assert!(!events.cancel(0));
        events.request(2, 1).unwrap();
    }
}
