// SPDX-License-Identifier: GPL-2.0

//! The socket on which tests say what the controller does, and read what has happened.
//!
//! A request is a line of JSON, an object whose field `do` says what is wanted; so is the
//! reply. That has a field `error`, a text, if the request cannot be obeyed.

use crate::{
    admin::AsynchronousEvent,
    behaviours::{by_name, by_seed, Rule, NAMES},
    controller::Controller,
    server::Shared,
};
use serde::Deserialize;
use serde_json::{json, Value};
use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
};

/// A request.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    /// Adds a rule. Replies its number, `id`.
    Add { rule: Rule },
    /// Adds the rule of a name. Replies its number, `id`.
    AddName { name: String },
    /// Adds the rules of a seed. Replies them.
    AddSeed { seed: u64 },
    /// Removes a rule.
    Remove { id: u64 },
    /// Removes all rules.
    Clear,
    /// Replies the rules, and what they have met.
    Rules,
    /// Replies the names of rules.
    Names,
    /// Changes settings.
    Set { settings: Value },
    /// Replies the settings.
    Settings,
    /// Replies what has happened, and what the controller is like now.
    Journal,
    /// Makes an asynchronous event happen.
    Event { event: AsynchronousEvent },
    /// Posts the completions that rules have kept.
    Release,
    /// Resets the subsystem, as another of its controllers would, if that is supported.
    ResetSubsystem,
    /// Interrupts without a reason.
    Interrupt { vector: u16 },
    /// Has the controller vanish, or come back.
    Gone { gone: bool },
    /// Makes it a sane device again.
    Sane,
}

fn answer(controller: &mut Controller, request: Request) -> Result<Value, String> {
    match request {
        Request::Add { rule } => return Ok(json!({"id": controller.rules.add(rule)})),
        Request::AddName { name } => {
            let rule = by_name(&name).ok_or_else(|| format!("there is no rule {name}"))?;
            return Ok(json!({"id": controller.rules.add(rule)}));
        }
        Request::AddSeed { seed } => {
            let rules = by_seed(seed);
            for rule in &rules {
                controller.rules.add(rule.clone());
            }
            return Ok(json!({"rules": rules}));
        }
        Request::Remove { id } if !controller.rules.remove(id) => {
            return Err(format!("there is no rule {id}"));
        }
        Request::Remove { .. } => {}
        Request::Clear => controller.rules.clear(),
        Request::Rules => return Ok(json!({"rules": controller.rules})),
        Request::Names => return Ok(json!({"names": NAMES})),
        Request::Set { settings } => controller.change(settings)?,
        Request::Settings => return Ok(json!({"settings": controller.settings()})),
        Request::Journal => {
            let state = controller.state();
            return Ok(json!({"journal": controller.journal, "state": state}));
        }
        Request::Event { event } => controller.happen(event),
        Request::Interrupt { vector } => {
            return Ok(json!({"sent": controller.interrupt_vector(vector)}));
        }
        Request::Release => controller.release_kept(),
        Request::ResetSubsystem => controller.reset_subsystem(),
        Request::Gone { gone } => controller.set_gone(gone),
        Request::Sane => controller.make_sane(),
    }
    Ok(json!({}))
}

impl Controller {
    /// Returns what the controller is like now.
    fn state(&self) -> Value {
        let is_in_buffer = |base| self.memory.buffer.find(base, 1).is_some();
        let bases = self.submissions.values().map(|queue| queue.base());
        json!({
            "ready": self.registers.is_ready(),
            "queues": self.submissions.len(),
            "queues_in_buffer": bases.filter(|&base| is_in_buffer(base)).count(),
            "held": self.held.len(),
            "hmb_pages": self.host_buffer.as_ref().map_or(0, |buffer| buffer.pages()),
            "hmb_ranges": self.host_buffer.as_ref().map_or(&[][..], |buffer| buffer.ranges()),
            "shadow_doorbells": self.shadow.is_some(),
            "interrupts": self.interrupts.kind().map(|kind| format!("{kind:?}")),
        })
    }
}

/// Obeys a line, and returns the reply's.
fn obey(controller: &mut Controller, line: &str) -> String {
    let reply = serde_json::from_str(line)
        .map_err(|error| error.to_string())
        .and_then(|request| answer(controller, request));
    let reply = reply.unwrap_or_else(|error| json!({"error": error}));
    format!("{reply}\n")
}

fn converse(shared: &Shared, stream: UnixStream) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let reply = obey(&mut shared.lock(), &line?);
        writer.write_all(reply.as_bytes())?;
    }
    Ok(())
}

/// Obeys requests at `path`, in a thread.
pub fn start(shared: &Shared, path: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let shared = shared.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = shared.clone();
            // A test that ends breaks its connection.
            thread::spawn(move || converse(&shared, stream));
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn ask(controller: &mut Controller, request: Value) -> Value {
        serde_json::from_str(&obey(controller, &request.to_string())).unwrap()
    }

    #[test]
    fn rules_come_and_go() {
        let mut controller = Controller::new(Settings::default());
        let rule = json!({"queue": "io", "action": "lose"});
        let id = ask(&mut controller, json!({"do": "add", "rule": rule}))["id"].clone();
        ask(
            &mut controller,
            json!({"do": "add_name", "name": "complete-twice"}),
        );
        let rules = ask(&mut controller, json!({"do": "rules"}))["rules"].clone();
        assert_eq!(rules[0]["rule"]["action"], "lose");
        assert_eq!(rules[1]["rule"]["action"], json!({"repeat": 2}));
        assert_eq!(
            ask(&mut controller, json!({"do": "remove", "id": id})),
            json!({})
        );
        assert!(ask(&mut controller, json!({"do": "remove", "id": id}))["error"].is_string());
        ask(&mut controller, json!({"do": "clear"}));
        assert_eq!(
            ask(&mut controller, json!({"do": "rules"})),
            json!({"rules": []})
        );
    }

    #[test]
    fn a_sane_device_is_as_at_the_beginning() {
        let mut controller = Controller::new(Settings::default());
        ask(
            &mut controller,
            json!({"do": "set", "settings": {"mdts": 3}}),
        );
        ask(&mut controller, json!({"do": "add_seed", "seed": 1}));
        ask(&mut controller, json!({"do": "gone", "gone": true}));
        ask(&mut controller, json!({"do": "sane"}));
        assert_eq!(controller.settings(), &Settings::default());
        assert_eq!(
            ask(&mut controller, json!({"do": "rules"})),
            json!({"rules": []})
        );
        let mut cap = [0; 4];
        controller.read(0, &mut cap);
        assert_ne!(cap, [0xff; 4]);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let mut controller = Controller::new(Settings::default());
        for line in [
            "",
            "{}",
            r#"{"do": "dance"}"#,
            r#"{"do": "add_name", "name": "dance"}"#,
            r#"{"do": "set", "settings": {"dance": 1}}"#,
        ] {
            let reply: Value = serde_json::from_str(&obey(&mut controller, line)).unwrap();
            assert!(reply["error"].is_string(), "{line}");
        }
    }
}
