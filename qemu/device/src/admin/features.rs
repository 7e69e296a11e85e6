// SPDX-License-Identifier: GPL-2.0

//! Features (Base Specification 2.1, section 5.2.26).

use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
    settings::Settings,
};
use std::collections::HashMap;

const POWER_MANAGEMENT: u8 = 0x02;
const NUMBER_OF_QUEUES: u8 = 0x07;
const AUTONOMOUS_POWER: u8 = 0x0c;
const HOST_MEMORY_BUFFER: u8 = 0x0d;
const TIMESTAMP: u8 = 0x0e;
const HOST_BEHAVIOR: u8 = 0x16;
/// The features without data: arbitration, power management, temperature, error recovery, write
/// cache, queues, coalescing, vectors, atomicity, events, keep alive.
const PLAIN: [u8; 11] = [
    0x01,
    POWER_MANAGEMENT,
    0x04,
    0x05,
    0x06,
    NUMBER_OF_QUEUES,
    0x08,
    0x09,
    0x0a,
    0x0b,
    0x0f,
];

/// Returns the bytes of a feature's data, which the host sends.
fn data_length(feature: u8) -> Option<usize> {
    match feature {
        AUTONOMOUS_POWER => Some(256),
        TIMESTAMP => Some(8),
        HOST_BEHAVIOR => Some(512),
        _ => None,
    }
}

/// The values of features.
#[derive(Debug, Default)]
pub struct Features {
    values: HashMap<u8, u32>,
    data: HashMap<u8, Vec<u8>>,
}

impl Features {
    /// Sets a feature without data, and returns the result.
    pub fn set(&mut self, settings: &Settings, feature: u8, value: u32) -> Result<u32, Status> {
        let mut result = 0;
        match feature {
            POWER_MANAGEMENT if value & 0x1f >= u32::from(settings.power_states.max(1)) => {
                return Err(Status::INVALID_FIELD);
            }
            NUMBER_OF_QUEUES => {
                let (submission, completion) = (value & 0xffff, value >> 16);
                if submission == 0xffff || completion == 0xffff || settings.queues == 0 {
                    return Err(Status::INVALID_FIELD);
                }
                let most = u32::from(settings.queues) - 1;
                result = submission.min(most) | completion.min(most) << 16;
            }
            _ if !PLAIN.contains(&feature) => return Err(Status::INVALID_FIELD),
            _ => {}
        }
        let kept = if feature == NUMBER_OF_QUEUES {
            result
        } else {
            value
        };
        self.values.insert(feature, kept);
        Ok(result)
    }

    /// Returns a feature without data.
    pub fn get(&self, feature: u8) -> Result<u32, Status> {
        if !PLAIN.contains(&feature) {
            return Err(Status::INVALID_FIELD);
        }
        Ok(self.values.get(&feature).copied().unwrap_or(0))
    }

    /// Forgets everything, as at a reset.
    pub fn reset(&mut self) {
        *self = Features::default();
    }
}

impl Controller {
    pub(super) fn set_features(&mut self, command: &Command) -> Answer {
        let feature = command.dword(10) as u8;
        self.journal.feature(feature, command.dword(11));
        if feature == HOST_MEMORY_BUFFER {
            return self.set_host_buffer(command);
        }
        let Some(length) = data_length(feature) else {
            let value = command.dword(11);
            return (self.features.set(&self.settings, feature, value)).map(Some);
        };
        if feature == AUTONOMOUS_POWER && !self.settings.autonomous_power {
            return Err(Status::INVALID_FIELD);
        }
        let mut data = vec![0; length];
        self.take(command, &mut data)?;
        self.features.data.insert(feature, data);
        self.features.values.insert(feature, command.dword(11));
        Ok(Some(0))
    }

    pub(super) fn get_features(&mut self, command: &Command) -> Answer {
        let feature = command.dword(10) as u8;
        if feature == HOST_MEMORY_BUFFER {
            return Ok(Some(u32::from(self.host_buffer.is_some())));
        }
        let Some(length) = data_length(feature) else {
            return self.features.get(feature).map(Some);
        };
        let data = self.features.data.get(&feature).cloned();
        self.give(command, data.unwrap_or_else(|| vec![0; length]))?;
        let value = self.features.values.get(&feature);
        Ok(Some(value.copied().unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_granted_up_to_the_limit() {
        let settings = Settings {
            queues: 4,
            ..Settings::default()
        };
        let mut features = Features::default();
        let set = |features: &mut Features, value| features.set(&settings, NUMBER_OF_QUEUES, value);
        assert_eq!(set(&mut features, 0x0001_0007), Ok(0x0001_0003));
        assert_eq!(features.get(NUMBER_OF_QUEUES), Ok(0x0001_0003));
        assert_eq!(set(&mut features, 0xffff_0000), Err(Status::INVALID_FIELD));
    }

    #[test]
    fn a_value_is_kept_until_a_reset() {
        let mut features = Features::default();
        features.set(&Settings::default(), 0x0b, 0x300).unwrap();
        assert_eq!(features.get(0x0b), Ok(0x300));
        features.reset();
        assert_eq!(features.get(0x0b), Ok(0));
        assert_eq!(features.get(0x7f), Err(Status::INVALID_FIELD));
    }

    #[test]
    fn there_are_as_many_power_states_as_set() {
        let settings = Settings {
            power_states: 3,
            ..Settings::default()
        };
        let mut features = Features::default();
        assert!(features.set(&settings, POWER_MANAGEMENT, 2).is_ok());
        assert!(features.set(&settings, POWER_MANAGEMENT, 3).is_err());
    }
}
