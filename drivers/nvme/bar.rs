// SPDX-License-Identifier: GPL-2.0

//! BAR 0: reads and writes of the controller's registers, with the faults that tests inject.
//!
//! Registers can be accessed in any context, without a lock, but only while the function is enabled.
//! If the device is gone, or has been unbound, all bits read as one.

use crate::{
    faults,
    spec::registers::{
        CAP,
        CMBLOC,
        CMBMSC,
        CMBSTS,
        CMBSZ,
        CSTS,
        DOORBELLS,
        GONE,
        VS, //
    }, //
};
use kernel::{
    device::Bound,
    io::{
        register::Register,
        Io, //
    },
    pci::Device,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::pci::{
    BarMapping,
    DeviceEnabled,
    Regions, //
};

/// The smallest BAR 0: the properties and the admin queue's doorbells.
pub(crate) const MIN_SIZE: usize = DOORBELLS + 8;

/// BAR 0.
pub(crate) type Bar0 = BarMapping<MIN_SIZE>;

/// Maps the registers of `dev`, which `regions` is the claim of, and the doorbells of `pairs` queue pairs,
/// the admin queue's included; fewer if BAR 0 is too short. What follows may be the Controller Memory
/// Buffer, which is mapped as memory.
///
/// `ENODEV` if BAR 0 is shorter than [`MIN_SIZE`], `ENOMEM` if it cannot be mapped.
pub(crate) fn map(regions: &Regions<'_>, dev: &Device<Bound>, pairs: usize) -> Result<Arc<Bar0>> {
    let registers = regions.map::<MIN_SIZE>(0, MIN_SIZE)?;
    let cap = {
        // Enabled only here, to read a register: the controller is not started yet.
        let _enabled = DeviceEnabled::new(dev);
        CAP::read(&registers)?
    };
    let len = match cap.into_raw() {
        // A VF that its PF has still to bring online, or a device that does not answer: it has shown no
        // memory buffer either.
        0 | u64::MAX => usize::MAX,
        _ => pairs
            .saturating_mul(2 * cap.doorbell_stride())
            .saturating_add(DOORBELLS),
    };
    regions.map(0, len)
}

/// Reads the 32-bit register at `offset`.
pub(crate) fn read32(bar: &Bar0, offset: usize) -> Result<u32> {
    Ok(faults::read32(bar.read32(offset)?))
}

/// Reads the 64-bit register at `offset`.
pub(crate) fn read64(bar: &Bar0, offset: usize) -> Result<u64> {
    Ok(faults::read64(bar.read64_lo_hi(offset)?))
}

/// Writes the 32-bit register at `offset`.
pub(crate) fn write32(bar: &Bar0, offset: usize, value: u32) -> Result {
    if faults::is_gone() {
        return Ok(());
    }
    bar.write32(value, offset)
}

impl CAP {
    /// Reads the register.
    pub(crate) fn read(bar: &Bar0) -> Result<Self> {
        Ok(Self::from(read64(bar, Self::OFFSET)?))
    }
}

impl CSTS {
    /// Reads the register.
    pub(crate) fn read(bar: &Bar0) -> Self {
        let value = bar.access(|io| io.read(CSTS).into_raw()).unwrap_or(GONE);
        Self::from(faults::read32(value))
    }

    /// Clears NSSRO, if it is set, by writing a one to it.
    pub(crate) fn clear_nssro(self, bar: &Bar0) -> Result {
        if !self.nssro() {
            return Ok(());
        }
        let value = Self::zeroed().with_nssro(true).into_raw();
        write32(bar, Self::OFFSET, value)
    }
}

impl CMBLOC {
    /// Reads the register.
    pub(crate) fn read(bar: &Bar0) -> Result<Self> {
        Ok(Self::from(read32(bar, Self::OFFSET)?))
    }
}

impl CMBSZ {
    /// Reads the register.
    pub(crate) fn read(bar: &Bar0) -> Result<Self> {
        Ok(Self::from(read32(bar, Self::OFFSET)?))
    }
}

impl CMBMSC {
    /// Writes the register, the upper half first: the lower half has the enable bits.
    pub(crate) fn write(self, bar: &Bar0) -> Result {
        let value = self.into_raw();
        write32(bar, Self::OFFSET + 4, (value >> 32) as u32)?;
        write32(bar, Self::OFFSET, value as u32)
    }
}

impl CMBSTS {
    /// Reads the register.
    pub(crate) fn read(bar: &Bar0) -> Result<Self> {
        Ok(Self::from(read32(bar, Self::OFFSET)?))
    }
}

/// Returns whether the controller implements CSTS.NSSRO: it supports NVM subsystem resets, and is of
/// version 1.1 or later.
pub(crate) fn has_nssro(bar: &Bar0, cap: CAP) -> bool {
    let vs = bar.access(|io| io.read(VS));
    cap.nssrs() && vs.is_some_and(|vs| (u16::from(vs.mjr()), u8::from(vs.mnr())) >= (1, 1))
}

/// Returns how many queue pairs, the admin queue's included, have their doorbells in `bar`.
pub(crate) fn queue_pairs(bar: &Bar0, cap: CAP) -> usize {
    bar.len().saturating_sub(DOORBELLS) / (2 * cap.doorbell_stride())
}
