// SPDX-License-Identifier: GPL-2.0

//! The registers of the controller (Base Specification 2.1, section 3.1.4).

use crate::{pci, settings::Settings};

/// The offsets of the registers.
#[allow(missing_docs)] // The specification's own names.
pub mod offset {
    pub const CAP: u64 = 0x00;
    pub const CAP_HIGH: u64 = 0x04;
    pub const VS: u64 = 0x08;
    pub const INTMS: u64 = 0x0c;
    pub const INTMC: u64 = 0x10;
    pub const CC: u64 = 0x14;
    pub const CSTS: u64 = 0x1c;
    pub const NSSR: u64 = 0x20;
    pub const AQA: u64 = 0x24;
    pub const ASQ: u64 = 0x28;
    pub const ASQ_HIGH: u64 = 0x2c;
    pub const ACQ: u64 = 0x30;
    pub const ACQ_HIGH: u64 = 0x34;
    pub const CMBLOC: u64 = 0x38;
    pub const CMBSZ: u64 = 0x3c;
    pub const CMBMSC: u64 = 0x50;
    pub const CMBMSC_HIGH: u64 = 0x54;
    /// Where the doorbells begin.
    pub const DOORBELLS: u64 = 0x1000;
}

const READY: u32 = 1 << 0;
const FATAL: u32 = 1 << 1;
const SHUTDOWN: u32 = 3 << 2;
const SHUTDOWN_COMPLETE: u32 = 2 << 2;
/// CSTS.NSSRO: the subsystem was reset.
pub const SUBSYSTEM_RESET: u32 = 1 << 4;
/// "NVMe", which NSSR wants.
const MAGIC: u32 = 0x4e56_4d65;

/// CMBMSC.CRE: CMBLOC and CMBSZ can be read.
const BUFFER_VISIBLE: u64 = 1 << 0;
/// CMBMSC.CMSE: commands can name the buffer.
const BUFFER_ENABLED: u64 = 1 << 1;
/// What of CMBSZ says that it is for all queues, lists and data, in units of 1 MiB.
const BUFFER_FOR_ALL: u32 = 2 << 8 | 0x1f;

/// What a write asks the controller to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// Nothing beyond the register.
    Nothing,
    /// CC.EN was set.
    Enable,
    /// CC.EN was cleared.
    Disable,
    /// CC.SHN was set.
    ShutDown,
    /// NSSR was written.
    ResetSubsystem,
    /// INTMS was written.
    Mask(u32),
    /// INTMC was written.
    Unmask(u32),
    /// What the specification does not allow.
    Violation,
}

/// The registers that the host writes, and CSTS.
#[derive(Default)]
pub struct Registers {
    configuration: u32,
    status: u32,
    attributes: u32,
    submission: u64,
    completion: u64,
    /// CMBMSC.
    buffer: u64,
}

/// Replaces one half of a register of 64 bits.
fn set_half(register: &mut u64, high: bool, value: u32) {
    let shift = if high { 32 } else { 0 };
    *register = *register & !(0xffff_ffff << shift) | u64::from(value) << shift;
}

/// Returns CAP.
pub fn capabilities(settings: &Settings) -> u64 {
    u64::from(settings.mqes)
        | 1 << 16 // CQR: queues are contiguous
        | u64::from(settings.timeout) << 24
        | u64::from(settings.stride & 0xf) << 32
        | u64::from(settings.subsystem_reset) << 36
        | 1 << 37 // the NVM command set
        | u64::from(settings.page_min & 0xf) << 48
        | u64::from(settings.page_max & 0xf) << 52
        | u64::from(settings.cmb_mib > 0 && !settings.legacy_cmb) << 57
}

impl Registers {
    /// Reads a register. INTMS and INTMC are known by the interrupts.
    pub fn read(&self, settings: &Settings, at: u64) -> u32 {
        match at {
            offset::CAP => capabilities(settings) as u32,
            offset::CAP_HIGH => (capabilities(settings) >> 32) as u32,
            offset::VS => settings.version,
            offset::CC => self.configuration,
            offset::CSTS => self.status,
            offset::AQA => self.attributes,
            offset::ASQ => self.submission as u32,
            offset::ASQ_HIGH => (self.submission >> 32) as u32,
            offset::ACQ => self.completion as u32,
            offset::ACQ_HIGH => (self.completion >> 32) as u32,
            offset::CMBLOC if self.shows_buffer(settings) => pci::BUFFER as u32,
            offset::CMBSZ if self.shows_buffer(settings) => settings.cmb_mib << 12 | BUFFER_FOR_ALL,
            offset::CMBMSC => self.buffer as u32,
            offset::CMBMSC_HIGH => (self.buffer >> 32) as u32,
            _ => 0,
        }
    }

    fn shows_buffer(&self, settings: &Settings) -> bool {
        settings.cmb_mib > 0 && (settings.legacy_cmb || self.buffer & BUFFER_VISIBLE != 0)
    }

    /// Returns by which address commands name the controller memory buffer, which the host
    /// has at `bar`.
    pub fn buffer_base(&self, settings: &Settings, bar: u64) -> Option<u64> {
        if settings.legacy_cmb {
            return (bar > 0).then_some(bar);
        }
        let both = BUFFER_VISIBLE | BUFFER_ENABLED;
        (self.buffer & both == both).then_some(self.buffer & !0xfff)
    }

    /// Writes a register below the doorbells.
    pub fn write(&mut self, at: u64, value: u32) -> Request {
        match at {
            offset::INTMS => return Request::Mask(value),
            offset::INTMC => return Request::Unmask(value),
            offset::CC => return self.configure(value),
            offset::CSTS => self.status &= !(value & SUBSYSTEM_RESET),
            offset::NSSR if value == MAGIC => return Request::ResetSubsystem,
            offset::AQA | offset::ASQ..=offset::ACQ_HIGH if self.is_enabled() => {
                return Request::Violation
            }
            offset::AQA => self.attributes = value & 0x0fff_0fff,
            offset::ASQ | offset::ASQ_HIGH => {
                set_half(&mut self.submission, at == offset::ASQ_HIGH, value);
            }
            offset::ACQ | offset::ACQ_HIGH => {
                set_half(&mut self.completion, at == offset::ACQ_HIGH, value);
            }
            offset::CMBMSC | offset::CMBMSC_HIGH => {
                set_half(&mut self.buffer, at == offset::CMBMSC_HIGH, value);
            }
            _ => return Request::Violation,
        }
        Request::Nothing
    }

    fn configure(&mut self, value: u32) -> Request {
        let before = std::mem::replace(&mut self.configuration, value);
        if value & !before & 1 != 0 {
            return Request::Enable;
        }
        if before & !value & 1 != 0 {
            return Request::Disable;
        }
        if value >> 14 & 3 == 0 {
            self.status &= !SHUTDOWN;
        } else if before >> 14 & 3 == 0 {
            return Request::ShutDown;
        }
        Request::Nothing
    }

    /// Returns what of the configuration is not supported, when the controller is enabled.
    pub fn complaint(&self, settings: &Settings) -> Option<String> {
        let page = (self.configuration >> 7 & 0xf) as u8;
        if page < settings.page_min || page > settings.page_max {
            return Some(format!("CC.MPS is {page}"));
        }
        if self.configuration >> 4 & 7 != 0 {
            return Some(format!("CC.CSS is {}", self.configuration >> 4 & 7));
        }
        let page = self.page();
        for (name, base) in [("ASQ", self.submission), ("ACQ", self.completion)] {
            if base % page != 0 {
                return Some(format!("{name} is {base:#x}"));
            }
        }
        if self.admin_entries().0 < 2 || self.admin_entries().1 < 2 {
            return Some(format!("AQA is {:#x}", self.attributes));
        }
        None
    }

    /// Returns whether CC.EN is set.
    pub fn is_enabled(&self) -> bool {
        self.configuration & 1 != 0
    }

    /// Returns whether the controller obeys commands.
    pub fn is_ready(&self) -> bool {
        self.is_enabled() && self.status & READY != 0 && self.status & FATAL == 0
    }

    /// Sets CSTS.RDY.
    pub fn set_ready(&mut self, ready: bool) {
        self.status = self.status & !READY | if ready { READY } else { 0 };
    }

    /// Sets CSTS.CFS.
    pub fn fail(&mut self) {
        self.status |= FATAL;
    }

    /// Sets CSTS.SHST: shutdown processing is complete.
    pub fn set_shut_down(&mut self) {
        self.status = self.status & !SHUTDOWN | SHUTDOWN_COMPLETE;
    }

    /// Returns the size of a memory page (CC.MPS).
    pub fn page(&self) -> u64 {
        4096 << (self.configuration >> 7 & 0xf)
    }

    /// Returns the addresses of the admin queues.
    pub fn admin_queues(&self) -> (u64, u64) {
        (self.submission, self.completion)
    }

    /// Returns the entries of the admin queues.
    pub fn admin_entries(&self) -> (u32, u32) {
        (
            (self.attributes & 0xfff) + 1,
            (self.attributes >> 16 & 0xfff) + 1,
        )
    }

    /// The controller is reset by CC.EN: the admin queues' registers stay.
    pub fn reset_controller(&mut self) {
        // Only the host clears CSTS.NSSRO.
        self.status &= SUBSYSTEM_RESET;
    }

    /// The function is reset.
    pub fn reset_function(&mut self) {
        *self = Registers::default();
    }

    /// The subsystem is reset.
    pub fn reset_subsystem(&mut self) {
        self.reset_function();
        self.status |= SUBSYSTEM_RESET;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cap_has_the_settings() {
        let settings = Settings {
            mqes: 0x123,
            timeout: 4,
            stride: 2,
            subsystem_reset: true,
            page_min: 1,
            page_max: 3,
            ..Settings::default()
        };
        let registers = Registers::default();
        assert_eq!(registers.read(&settings, offset::CAP), 0x0401_0123);
        assert_eq!(registers.read(&settings, offset::CAP_HIGH), 0x0031_0032);
    }

    #[test]
    fn cc_asks_for_what_changes() {
        let mut registers = Registers::default();
        assert_eq!(registers.write(offset::CC, 0x0046_0001), Request::Enable);
        assert_eq!(registers.write(offset::CC, 0x0046_0001), Request::Nothing);
        assert_eq!(registers.write(offset::CC, 0x0046_4001), Request::ShutDown);
        assert_eq!(registers.write(offset::CC, 0x0046_4001), Request::Nothing);
        assert_eq!(registers.write(offset::CC, 0x0046_0000), Request::Disable);
    }

    #[test]
    fn the_admin_queues_do_not_change_while_enabled() {
        let settings = Settings::default();
        let mut registers = Registers::default();
        registers.write(offset::ASQ, 0x1000);
        registers.write(offset::ASQ_HIGH, 0x2);
        registers.write(offset::AQA, 0x001f_000f);
        registers.write(offset::CC, 1);
        assert_eq!(registers.write(offset::ASQ, 0), Request::Violation);
        assert_eq!(registers.admin_queues().0, 0x2_0000_1000);
        assert_eq!(registers.admin_entries(), (0x10, 0x20));
        assert_eq!(registers.complaint(&settings), None);
    }

    #[test]
    fn what_is_not_supported_is_complained_about() {
        let settings = Settings {
            page_min: 1,
            page_max: 2,
            ..Settings::default()
        };
        for (cc, complains) in [(1, true), (1 | 1 << 7, false), (1 | 3 << 7, true)] {
            let mut registers = Registers::default();
            registers.write(offset::AQA, 0x001f_001f);
            registers.write(offset::CC, cc);
            assert_eq!(registers.complaint(&settings).is_some(), complains);
        }
    }

    #[test]
    fn the_buffer_is_where_the_host_says() {
        let settings = Settings {
            cmb_mib: 2,
            ..Settings::default()
        };
        let mut registers = Registers::default();
        assert_eq!(registers.read(&settings, offset::CAP_HIGH) >> 25, 1);
        assert_eq!(registers.read(&settings, offset::CMBSZ), 0);
        registers.write(offset::CMBMSC_HIGH, 0x5);
        registers.write(offset::CMBMSC, 0x6000 | 1);
        assert_eq!(registers.read(&settings, offset::CMBSZ), 0x221f);
        assert_eq!(registers.read(&settings, offset::CMBLOC), 2);
        assert_eq!(registers.buffer_base(&settings, 0x1000), None);
        registers.write(offset::CMBMSC, 0x6000 | 3);
        let base = registers.buffer_base(&settings, 0x1000);
        assert_eq!(base, Some(0x5_0000_6000));

        let legacy = Settings {
            legacy_cmb: true,
            ..settings
        };
        let registers = Registers::default();
        assert_eq!(registers.read(&legacy, offset::CAP_HIGH) >> 25, 0);
        assert_eq!(registers.read(&legacy, offset::CMBSZ), 0x221f);
        assert_eq!(registers.buffer_base(&legacy, 0x1000), Some(0x1000));
    }

    #[test]
    fn the_status_follows() {
        let settings = Settings::default();
        let mut registers = Registers::default();
        let read = |registers: &Registers| registers.read(&settings, offset::CSTS);
        registers.write(offset::CC, 1);
        assert!(!registers.is_ready());
        registers.set_ready(true);
        assert!(registers.is_ready());
        registers.fail();
        assert!(!registers.is_ready());
        registers.reset_subsystem();
        assert_eq!(read(&registers), SUBSYSTEM_RESET);
        registers.write(offset::CSTS, SUBSYSTEM_RESET);
        assert_eq!(read(&registers), 0);
    }
}
