// SPDX-License-Identifier: GPL-2.0

//! What goes wrong: rules, which are data.
//!
//! A rule says which commands, or reads of a register, it is about, which of those it meets, and
//! what becomes of them. In JSON, "complete command 3 of queue 2 twice" is
//!
//! ```json
//! {"queue": 2, "skip": 2, "count": 1, "action": {"repeat": 2}}
//! ```

mod catalogue;

pub use catalogue::{by_name, by_seed, NAMES};

use crate::random::Random;
use serde::{Deserialize, Serialize};

/// A number, or any.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Another number each time.
    Random,
    /// A number.
    #[serde(untagged)]
    Is(u64),
}

impl Value {
    /// Returns the number.
    pub fn get(self, random: &mut Random) -> u64 {
        match self {
            Value::Random => random.number(),
            Value::Is(value) => value,
        }
    }
}

/// Which queues a rule is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Queues {
    /// The admin queue.
    Admin,
    /// The I/O queues.
    Io,
    /// One submission queue.
    #[serde(untagged)]
    One(u16),
}

/// What data is replaced by.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Filling {
    /// Zeroes.
    Zeroes,
    /// Ones.
    Ones,
    /// Random bytes.
    Random,
}

/// What becomes of what a rule meets.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The command is never completed.
    Lose,
    /// The command is completed when it is aborted.
    Hold,
    /// The completion comes when the control socket releases it, be it after a reset.
    Keep,
    /// The completion is so many milliseconds late.
    Delay(u64),
    /// The completion is late by up to so many milliseconds, so that the order is random.
    Shuffle(u64),
    /// The command is completed so many times.
    Repeat(u32),
    /// The entry has another status.
    Status(Value),
    /// The entry has another result, in dword 0.
    Result(Value),
    /// The entry has another command identifier.
    Identifier(Value),
    /// The entry has another submission queue.
    Queue(Value),
    /// The entry has another submission queue head.
    Head(Value),
    /// The entry is random.
    Garbage,
    /// The entry has the wrong phase.
    Phase,
    /// The entry comes without an interrupt.
    Silent,
    /// The entry's interrupt comes so many milliseconds later, and is the only one for all
    /// such entries that come until then.
    Coalesce(u64),
    /// An interrupt comes before the entry, and so many after it.
    Split(u32),
    /// An entry with this identifier comes before the command's own.
    Extra(Value),
    /// An entry whose identifier differs in these bits comes before the command's own.
    Similar(u16),
    /// So many random entries come before the command's own, room or not.
    Flood(u32),
    /// Entries with this identifier come without end after it, as long as there is this rule.
    Endless(Value),
    /// The command fails with this status, and does nothing.
    Refuse(u16),
    /// The data for the host is something else.
    Data(Filling),
    /// The data for the host has other bytes at a place.
    Patch {
        /// The place.
        at: usize,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The controller writes 64 bytes to an address that nobody told it.
    Stray(Value),
    /// The controller fails (CSTS.CFS) before the command is completed.
    Fail,
    /// The controller is gone: all reads give ones, and nothing is completed.
    Gone,
    /// The register is read as something else.
    Read(Value),
    /// The register is read with some bits cleared, and then others set.
    Bits {
        /// Those that are cleared.
        #[serde(default)]
        clear: u32,
        /// Those that are set.
        #[serde(default)]
        set: u32,
    },
}

/// A rule. It is about all commands that have what it names, or about reads of a register.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// The queues of the commands.
    #[serde(default)]
    pub queue: Option<Queues>,
    /// The opcode of the commands.
    #[serde(default)]
    pub opcode: Option<u8>,
    /// The first byte of the commands' dword 10: CNS, feature, or log page.
    #[serde(default)]
    pub selector: Option<u8>,
    /// The register, as its offset. A rule with one is not about commands.
    #[serde(default)]
    pub register: Option<u64>,
    /// How many are left alone at first.
    #[serde(default)]
    pub skip: u64,
    /// Then it meets one of so many: the first, and every so many after it.
    #[serde(default = "one")]
    pub every: u64,
    /// Of those, it meets one of so many at random.
    #[serde(default = "one")]
    pub chance: u64,
    /// How many it meets at most.
    #[serde(default)]
    pub count: Option<u64>,
    /// What becomes of them.
    pub action: Action,
}

fn one() -> u64 {
    1
}

impl Rule {
    /// Returns a rule about all commands.
    pub fn new(name: &str, action: Action) -> Self {
        Rule {
            name: name.into(),
            queue: None,
            opcode: None,
            selector: None,
            register: None,
            skip: 0,
            every: 1,
            chance: 1,
            count: None,
            action,
        }
    }

    fn is_about(&self, event: Event) -> bool {
        match (event, self.register) {
            (Event::Read(at), Some(register)) => at == register,
            (
                Event::Command {
                    queue,
                    opcode,
                    selector,
                },
                None,
            ) => {
                let queues = match self.queue {
                    None => true,
                    Some(Queues::Admin) => queue == 0,
                    Some(Queues::Io) => queue > 0,
                    Some(Queues::One(one)) => queue == one,
                };
                queues
                    && self.opcode.is_none_or(|wanted| wanted == opcode)
                    && self.selector.is_none_or(|wanted| wanted == selector)
            }
            _ => false,
        }
    }
}

/// What a rule may be about.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A command is fetched.
    Command {
        /// Its submission queue.
        queue: u16,
        /// Its opcode.
        opcode: u8,
        /// The first byte of its dword 10.
        selector: u8,
    },
    /// A register is read.
    Read(u64),
}

/// A rule in force.
#[derive(Clone, Debug, Serialize)]
struct Active {
    id: u64,
    rule: Rule,
    /// How many events it was about.
    seen: u64,
    /// How many it has met.
    met: u64,
}

/// The rules in force.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Rules {
    active: Vec<Active>,
    #[serde(skip)]
    last: u64,
}

impl Rules {
    /// Adds a rule, and returns its number.
    pub fn add(&mut self, rule: Rule) -> u64 {
        self.last += 1;
        self.active.push(Active {
            id: self.last,
            rule,
            seen: 0,
            met: 0,
        });
        self.last
    }

    /// Removes all rules.
    pub fn clear(&mut self) {
        self.active.clear();
    }

    /// Returns whether there is a rule with an action that `is_it`.
    pub fn any(&self, is_it: impl Fn(&Action) -> bool) -> bool {
        self.active.iter().any(|active| is_it(&active.rule.action))
    }

    /// Removes one rule, and returns whether there was one.
    pub fn remove(&mut self, id: u64) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() < before
    }

    /// Returns the action of the first rule that meets an event.
    pub fn meet(&mut self, event: Event, random: &mut Random) -> Option<Action> {
        for active in &mut self.active {
            let rule = &active.rule;
            if !rule.is_about(event) {
                continue;
            }
            active.seen += 1;
            if active.seen <= rule.skip
                || (active.seen - rule.skip - 1) % rule.every.max(1) != 0
                || rule.count.is_some_and(|count| active.met >= count)
                || random.below(rule.chance) != 0
            {
                continue;
            }
            active.met += 1;
            return Some(rule.action.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn command(queue: u16, opcode: u8, selector: u8) -> Event {
        Event::Command {
            queue,
            opcode,
            selector,
        }
    }

    /// Returns which of the first ten events the rule meets.
    fn met(rule: serde_json::Value, event: Event) -> Vec<usize> {
        let mut rules = Rules::default();
        rules.add(from_value(rule).unwrap());
        let mut random = Random::new(0);
        (0..10)
            .filter(|_| rules.meet(event, &mut random).is_some())
            .collect()
    }

    #[test]
    fn a_rule_meets_what_it_says() {
        let event = command(2, 1, 0);
        let rule = json!({"queue": 2, "skip": 2, "count": 1, "action": {"repeat": 2}});
        assert_eq!(met(rule, event), [2]);
        let rule = json!({"skip": 1, "every": 3, "action": "lose"});
        assert_eq!(met(rule, event), [1, 4, 7]);
        let rule = json!({"chance": 2, "action": "lose"});
        assert!((1..10).contains(&met(rule, event).len()));
    }

    #[test]
    fn a_rule_leaves_others_alone() {
        let all: Vec<usize> = (0..10).collect();
        for (rule, event, meets) in [
            (
                json!({"queue": "io", "action": "lose"}),
                command(0, 6, 0),
                false,
            ),
            (
                json!({"queue": "io", "action": "lose"}),
                command(9, 6, 0),
                true,
            ),
            (
                json!({"queue": "admin", "action": "lose"}),
                command(0, 6, 0),
                true,
            ),
            (
                json!({"queue": 3, "action": "lose"}),
                command(2, 6, 0),
                false,
            ),
            (
                json!({"opcode": 6, "action": "lose"}),
                command(0, 2, 0),
                false,
            ),
            (
                json!({"opcode": 6, "selector": 1, "action": "lose"}),
                command(0, 6, 2),
                false,
            ),
            (
                json!({"opcode": 6, "selector": 1, "action": "lose"}),
                command(0, 6, 1),
                true,
            ),
            (json!({"action": "lose"}), Event::Read(0x1c), false),
            (
                json!({"register": 0x1c, "action": {"read": 1}}),
                Event::Read(0x1c),
                true,
            ),
            (
                json!({"register": 0x1c, "action": {"read": 1}}),
                Event::Read(0x14),
                false,
            ),
            (
                json!({"register": 0x1c, "action": {"read": 1}}),
                command(0, 0x1c, 0),
                false,
            ),
        ] {
            let expected = if meets { all.clone() } else { Vec::new() };
            assert_eq!(met(rule.clone(), event), expected, "{rule}");
        }
    }

    #[test]
    fn the_first_rule_that_meets_an_event_wins() {
        let mut rules = Rules::default();
        let mut first = Rule::new("first", Action::Lose);
        first.count = Some(1);
        let id = rules.add(first);
        rules.add(Rule::new("second", Action::Hold));
        let mut random = Random::new(0);
        let mut meet = |rules: &mut Rules| rules.meet(command(1, 1, 0), &mut random);
        assert_eq!(meet(&mut rules), Some(Action::Lose));
        assert_eq!(meet(&mut rules), Some(Action::Hold));
        assert!(rules.remove(id));
        assert!(!rules.remove(id));
        rules.clear();
        assert_eq!(meet(&mut rules), None);
    }

    #[test]
    fn actions_are_read_as_they_are_written() {
        for (text, action) in [
            (json!({"status": "random"}), Action::Status(Value::Random)),
            (json!({"status": 4}), Action::Status(Value::Is(4))),
            (json!({"data": "ones"}), Action::Data(Filling::Ones)),
            (
                json!({"bits": {"clear": 3, "set": 0}}),
                Action::Bits { clear: 3, set: 0 },
            ),
            (
                json!({"patch": {"at": 77, "bytes": [1]}}),
                Action::Patch {
                    at: 77,
                    bytes: vec![1],
                },
            ),
        ] {
            assert_eq!(serde_json::to_value(&action).unwrap(), text);
            assert_eq!(from_value::<Action>(text).unwrap(), action);
        }
        assert!(from_value::<Rule>(json!({"actoin": "lose"})).is_err());
    }
}
