// SPDX-License-Identifier: GPL-2.0

//! Identify (Base Specification 2.1, section 5.1.13).

use crate::{
    command::{Command, Status},
    controller::{Answer, Controller},
    namespace::Namespace,
    settings::Settings,
};

const LENGTH: usize = 4096;
const ALL: u32 = 0xffff_ffff;

/// The values of CNS.
mod cns {
    pub(super) const NAMESPACE: u8 = 0x00;
    pub(super) const CONTROLLER: u8 = 0x01;
    pub(super) const ACTIVE_NAMESPACES: u8 = 0x02;
    pub(super) const DESCRIPTORS: u8 = 0x03;
    pub(super) const NAMESPACE_OF_SET: u8 = 0x05;
    pub(super) const CONTROLLER_OF_SET: u8 = 0x06;
    pub(super) const ACTIVE_NAMESPACES_OF_SET: u8 = 0x07;
    pub(super) const INDEPENDENT: u8 = 0x08;
    pub(super) const ALLOCATED_NAMESPACES: u8 = 0x10;
    pub(super) const CONTROLLERS: u8 = 0x13;
    pub(super) const COMMAND_SETS: u8 = 0x1c;
}

fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
    data[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes text, with spaces behind it.
fn put_text(data: &mut [u8], at: usize, length: usize, text: &str) {
    let bytes = text.bytes().chain(std::iter::repeat(b' '));
    for (to, from) in data[at..at + length].iter_mut().zip(bytes) {
        *to = from;
    }
}

/// Returns Identify Controller.
fn controller(settings: &Settings) -> Vec<u8> {
    let mut data = vec![0; LENGTH];
    put(&mut data, 0, &settings.vendor.to_le_bytes());
    put(&mut data, 2, &settings.vendor.to_le_bytes());
    put_text(&mut data, 4, 20, &settings.serial);
    put_text(&mut data, 24, 40, "nvme-rs test device");
    put_text(&mut data, 64, 8, "1.0");
    data[72] = 6; // RAB
    data[77] = settings.mdts;
    put(&mut data, 78, &settings.controller_id.to_le_bytes());
    put(&mut data, 80, &settings.version.to_le_bytes());
    // OAES: namespace attribute and firmware activation notices.
    put(&mut data, 92, &(1u32 << 8 | 1 << 9).to_le_bytes());
    data[111] = 1; // CNTRLTYPE: an I/O controller
    let admin = 1u16 << 1 | u16::from(settings.shadow_doorbells) << 8;
    put(&mut data, 256, &admin.to_le_bytes()); // OACS
    data[258] = settings.abort_limit;
    data[259] = settings.event_limit;
    data[260] = 3; // FRMW: one slot, which is read-only
    data[261] = 1 << 1 | 1 << 2 | 1 << 4; // LPA: effects, offsets, persistent events
    data[263] = settings.power_states.clamp(1, 32) - 1; // NPSS
    data[265] = u8::from(settings.autonomous_power); // APSTA
    put(&mut data, 266, &343u16.to_le_bytes()); // WCTEMP
    put(&mut data, 268, &353u16.to_le_bytes()); // CCTEMP
    put(&mut data, 272, &settings.hmb_preferred.to_le_bytes());
    put(&mut data, 276, &settings.hmb_minimum.to_le_bytes());
    put(&mut data, 332, &settings.hmb_smallest.to_le_bytes()); // HMMINDS
    put(&mut data, 336, &settings.hmb_most.to_le_bytes()); // HMMAXD
    data[512] = 0x66; // SQES
    data[513] = 0x44; // CQES
    let most = settings.namespaces.iter().map(|namespace| namespace.id);
    put(&mut data, 516, &most.max().unwrap_or(0).to_le_bytes()); // NN
    put(&mut data, 520, &(1u16 | 1 << 2 | 1 << 3).to_le_bytes()); // ONCS
    data[525] = u8::from(settings.write_cache); // VWC
    put(&mut data, 536, &settings.sgls.to_le_bytes());
    let name = format!("nqn.2026-11.org.example:{}", settings.serial);
    put(&mut data, 768, &name.as_bytes()[..name.len().min(223)]);
    for state in 0..usize::from(settings.power_states.clamp(1, 32)) {
        let at = 2048 + 32 * state;
        let power = 2500 >> state.min(11);
        put(&mut data, at, &(power as u16).to_le_bytes()); // MP
        data[at + 3] = u8::from(state > 0) << 1; // NOPS
        let latency = 100 << state.min(8);
        put(&mut data, at + 4, &u32::to_le_bytes(latency)); // ENLAT
        put(&mut data, at + 8, &u32::to_le_bytes(latency)); // EXLAT
    }
    data
}

/// Returns the ids above `after`, in order.
fn list(namespaces: &[Namespace], after: u32) -> Vec<u8> {
    let mut ids: Vec<u32> = (namespaces.iter().map(Namespace::id))
        .filter(|id| *id > after)
        .collect();
    ids.sort();
    let mut data = vec![0; LENGTH];
    for (to, id) in data.chunks_mut(4).zip(ids) {
        to.copy_from_slice(&id.to_le_bytes());
    }
    data
}

/// Returns what Identify answers.
fn answer(
    settings: &Settings,
    namespaces: &[Namespace],
    command: &Command,
) -> Result<Vec<u8>, Status> {
    let (which, id) = (command.dword(10) as u8, command.namespace());
    let nvm = command.dword(11) >> 24 == 0;
    let found = namespaces.iter().find(|namespace| namespace.id() == id);
    let namespace = found.ok_or(Status::INVALID_NAMESPACE);
    Ok(match which {
        // What namespaces have in common; or one that is not active.
        cns::NAMESPACE => match (found, namespaces.first()) {
            (Some(namespace), _) => namespace.identify(),
            (None, Some(any)) if id == ALL => {
                let mut data = any.identify();
                data[..24].fill(0);
                data[104..120].fill(0);
                data
            }
            _ => vec![0; LENGTH],
        },
        cns::CONTROLLER => controller(settings),
        cns::ACTIVE_NAMESPACES | cns::ALLOCATED_NAMESPACES => list(namespaces, id),
        cns::ACTIVE_NAMESPACES_OF_SET if nvm => list(namespaces, id),
        cns::DESCRIPTORS => namespace?.descriptors(),
        cns::NAMESPACE_OF_SET if nvm => {
            namespace?;
            vec![0; LENGTH]
        }
        cns::CONTROLLER_OF_SET if nvm => vec![0; LENGTH],
        cns::INDEPENDENT => {
            namespace?;
            let mut data = vec![0; LENGTH];
            data[14] = 1; // NSTAT: ready
            data
        }
        cns::CONTROLLERS => {
            let mut data = vec![0; LENGTH];
            if settings.controller_id >= (command.dword(10) >> 16) as u16 {
                data[0] = 1;
                put(&mut data, 2, &settings.controller_id.to_le_bytes());
            }
            data
        }
        cns::COMMAND_SETS => {
            let mut data = vec![0; LENGTH];
            data[0] = 1;
            data
        }
        _ => return Err(Status::INVALID_FIELD),
    })
}

impl Controller {
    pub(super) fn identify(&mut self, command: &Command) -> Answer {
        let data = answer(&self.settings, &self.namespaces, command)?;
        self.give(command, data)?;
        Ok(Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::opcode, settings::NamespaceSettings};

    fn identify(settings: &Settings, cns: u8, namespace: u32) -> Result<Vec<u8>, Status> {
        let namespaces: Vec<Namespace> = Namespace::all(settings);
        let command = Command::new(opcode::IDENTIFY)
            .with(1, namespace)
            .with(10, cns.into());
        answer(settings, &namespaces, &command)
    }

    fn two() -> Settings {
        let namespace = |id| NamespaceSettings {
            id,
            mib: 1,
            ..NamespaceSettings::default()
        };
        Settings {
            namespaces: vec![namespace(7), namespace(2)],
            ..Settings::default()
        }
    }

    #[test]
    fn the_controller_has_the_settings() {
        let settings = Settings {
            mdts: 5,
            controller_id: 0x1234,
            hmb_preferred: 0x100,
            hmb_minimum: 0x10,
            sgls: 1,
            power_states: 3,
            autonomous_power: true,
            shadow_doorbells: true,
            ..two()
        };
        let data = identify(&settings, cns::CONTROLLER, 0).unwrap();
        assert_eq!(data[4..14], *b"device-1  ");
        assert_eq!(data[77..80], [5, 0x34, 0x12]);
        assert_eq!(data[256..258], [2, 1]);
        assert_eq!((data[263], data[265]), (2, 1));
        assert_eq!(data[272..280], [0, 1, 0, 0, 0x10, 0, 0, 0]);
        assert_eq!(data[516], 7);
        assert_eq!(data[536], 1);
        assert_eq!((data[2051], data[2048 + 32 + 3]), (0, 2));
    }

    #[test]
    fn a_list_goes_on_behind_an_id() {
        let data = identify(&two(), cns::ACTIVE_NAMESPACES, 0).unwrap();
        assert_eq!(data[..12], [2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        let data = identify(&two(), cns::ACTIVE_NAMESPACES, 2).unwrap();
        assert_eq!(data[..8], [7, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_namespace_that_is_not_active_is_zeroes() {
        assert_eq!(identify(&two(), cns::NAMESPACE, 3), Ok(vec![0; LENGTH]));
        assert_ne!(identify(&two(), cns::NAMESPACE, 7), Ok(vec![0; LENGTH]));
        let refused = identify(&two(), cns::DESCRIPTORS, 3);
        assert_eq!(refused, Err(Status::INVALID_NAMESPACE));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert_eq!(identify(&two(), 0xff, 0), Err(Status::INVALID_FIELD));
    }
}
