// SPDX-License-Identifier: GPL-2.0

//! Rules that have a name, and rules that a seed makes.

use super::{Action, Filling, Queues, Rule, Value};
use crate::random::Random;

/// The names of the catalogue, with the actions.
const CATALOGUE: [(&str, Action); 21] = [
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
    ("extra", Action::Extra(Value::Random)),
    ("flood", Action::Flood(3000)),
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

/// Returns the rules of a seed: up to three of the catalogue, each about some commands.
pub fn by_seed(seed: u64) -> Vec<Rule> {
    let mut random = Random::new(seed);
    let count = 1 + random.below(3);
    (0..count).map(|_| any(&mut random)).collect()
}

fn any(random: &mut Random) -> Rule {
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
        for name in NAMES {
            let reaches = |seed| by_seed(seed).iter().any(|rule| rule.name == name);
            assert!((0..1000).any(reaches), "{name}");
        }
    }
}
