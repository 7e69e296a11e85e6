// SPDX-License-Identifier: GPL-2.0

//! Rules that have a name, and rules that a seed makes.

use super::{Action, Filling, Queues, Rule, Value};
use crate::random::Random;

/// Where a controller writes that nobody told it to: the guest's kernel is there, so there must be
/// an IOMMU.
const STRAY: u64 = 16 << 20;

/// The names of the catalogue, with the actions.
const CATALOGUE: [(&str, Action); 24] = [
    ("lose", Action::Lose),
    ("hold", Action::Hold),
    ("late", Action::Delay(50)),
    ("shuffle", Action::Shuffle(5)),
    ("complete-twice", Action::Repeat(2)),
    ("complete-often", Action::Repeat(8)),
    ("wrong-status", Action::Status(Value::Random)),
    ("wrong-result", Action::Result(Value::Random)),
    ("wrong-identifier", Action::Identifier(Value::Random)),
    ("wrong-queue", Action::Queue(Value::Random)),
    ("wrong-head", Action::Head(Value::Random)),
    ("wrong-phase", Action::Phase),
    ("garbage", Action::Garbage),
    ("silent", Action::Silent),
    ("coalesce", Action::Coalesce(5)),
    ("split", Action::Split(2)),
    ("extra", Action::Extra(Value::Random)),
    ("flood", Action::Flood(3000)),
    ("stray", Action::Stray(Value::Is(STRAY))),
    ("data-of-zeroes", Action::Data(Filling::Zeroes)),
    ("data-of-ones", Action::Data(Filling::Ones)),
    ("random-data", Action::Data(Filling::Random)),
    ("fail", Action::Fail),
    ("gone", Action::Gone),
];

/// The names that [`by_name`] knows.
pub const NAMES: [&str; CATALOGUE.len()] = {
    let mut names = [""; CATALOGUE.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = CATALOGUE[index].0;
        index += 1;
    }
    names
};

/// Returns the rule of a name. It is about all commands.
pub fn by_name(name: &str) -> Option<Rule> {
    let (name, action) = CATALOGUE.iter().find(|(known, _)| *known == name)?;
    Some(Rule::new(name, action.clone()))
}

/// The registers that may be read as something else, by their offset.
const REGISTERS: [u64; 10] = [
    0x00, // CAP
    0x04, // its upper half
    0x08, // VS
    0x14, // CC
    0x1c, // CSTS
    0x20, // NSSR
    0x24, // AQA
    0x38, // CMBLOC
    0x3c, // CMBSZ
    0x58, // CMBSTS
];

/// The admin commands that return data: Get Log Page and Identify.
const READERS: [u8; 2] = [0x02, 0x06];

/// Returns the rules of a seed: up to three, each about some commands or reads of a register.
pub fn by_seed(seed: u64) -> Vec<Rule> {
    let mut random = Random::new(seed);
    let count = 1 + random.below(3);
    (0..count).map(|_| any(&mut random)).collect()
}

fn any(random: &mut Random) -> Rule {
    match random.below(4) {
        0 => patched(random),
        1 => misread(random),
        _ => of_the_catalogue(random),
    }
}

/// Some bytes of what an admin command returns are random.
fn patched(random: &mut Random) -> Rule {
    // What the host looks at first is at the beginning of most structures.
    let room = [16, 128, 600, 4096][random.below(4) as usize];
    let mut bytes = vec![0; 1 + random.below(8) as usize];
    random.fill(&mut bytes);
    let at = random.below(room) as usize;
    let mut rule = Rule::new("patched-data", Action::Patch { at, bytes });
    rule.queue = Some(Queues::Admin);
    rule.opcode = Some(READERS[random.below(READERS.len() as u64) as usize]);
    rule.skip = random.below(8);
    rule.every = 1 + random.below(3);
    rule
}

/// A register is read as something else.
fn misread(random: &mut Random) -> Rule {
    let mut rule = Rule::new("wrong-register", Action::Read(Value::Random));
    rule.register = Some(REGISTERS[random.below(REGISTERS.len() as u64) as usize]);
    rule.skip = random.below(12);
    rule.every = 1 + random.below(4);
    rule.count = match random.below(3) {
        0 => None,
        _ => Some(1 + random.below(4)),
    };
    rule
}

fn of_the_catalogue(random: &mut Random) -> Rule {
    let (name, action) = &CATALOGUE[random.below(CATALOGUE.len() as u64) as usize];
    let mut rule = Rule::new(name, action.clone());
    rule.queue = match random.below(3) {
        0 => Some(Queues::Admin),
        1 => Some(Queues::Io),
        _ => None,
    };
    rule.skip = random.below(40);
    rule.every = 1 + random.below(20);
    rule.chance = 1 + random.below(4);
    rule.count = match random.below(3) {
        0 => None,
        _ => Some(1 + random.below(10)),
    };
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_of_one_rule() {
        let names: std::collections::HashSet<_> = NAMES.iter().collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for name in NAMES {
            assert_eq!(by_name(name).unwrap().name, name);
        }
        assert_eq!(by_name("no such rule"), None);
    }

    #[test]
    fn a_seed_determines_the_rules_and_reaches_all() {
        assert_eq!(by_seed(5), by_seed(5));
        for name in NAMES.into_iter().chain(["patched-data", "wrong-register"]) {
            let reaches = |seed| by_seed(seed).iter().any(|rule| rule.name == name);
            assert!((0..1000).any(reaches), "{name}");
        }
    }
}
