// SPDX-License-Identifier: GPL-2.0

//! The Controller Memory Buffer: memory of the controller for queues and data (base specification,
//! section 8.2.1).
//!
//! The buffer is registered with the kernel as memory for peer-to-peer DMA, from which user space and
//! other drivers may allocate. Submission queues are allocated from it, too: the controller then need
//! not fetch their entries from the host.

use crate::{
    bar::Bar0,
    parameters,
    spec::registers::{
        CAP,
        CMBLOC,
        CMBMSC,
        CMBSTS,
        CMBSZ,
        GONE, //
    },
};
use kernel::{
    device::Core,
    pci::Device,
    prelude::*, //
};
use kernel_ext::pci::{
    BusAddress,
    DeviceEnabled,
    P2pPool, //
};

/// The buffer of a controller that has one.
pub(crate) struct Cmb {
    location: CMBLOC,
    size: CMBSZ,
    /// The value that enables the buffer; `None` before revision 1.4, where it is always enabled.
    control: Option<CMBMSC>,
    /// The memory; `None` if it cannot be used.
    pool: Option<P2pPool>,
    /// The size of the memory, in bytes.
    room: usize,
}

impl Cmb {
    /// Looks for the buffer of function `dev`, and registers its memory. Returns `None` if there is no
    /// buffer, or if the device does not answer; the start of the controller reports the latter.
    pub(crate) fn find(dev: &Device<Core<'_>>, bar: &Bar0) -> Option<Self> {
        // Enabled only here, to access registers: the controller is not started yet.
        let _enabled = DeviceEnabled::new(dev).ok()?;
        let cap = CAP::read(bar).ok()?;
        if cap.into_raw() == u64::MAX {
            return None;
        }
        if cap.cmbs() {
            CMBMSC::capabilities().write(bar).ok()?;
        }
        let size = CMBSZ::read(bar).ok()?;
        if size.into_raw() == 0 || size.into_raw() == GONE {
            return None;
        }
        let mut cmb = Self {
            location: CMBLOC::read(bar).ok()?,
            size,
            control: None,
            pool: None,
            room: 0,
        };
        if let Err(e) = cmb.register(dev, bar, cap) {
            dev_warn!(dev, "the controller memory buffer cannot be used: {e:?}\n");
            if let Some(control) = cmb.control.take() {
                let _ = control.with_cmse(false).write(bar);
            }
        }
        Some(cmb)
    }

    /// Enables the memory, and registers it. `ERANGE` if the controller refuses the address.
    fn register(&mut self, dev: &Device<Core<'_>>, bar: &Bar0, cap: CAP) -> Result {
        let index = self.location.bar();
        let offset = self.location.offset(self.size);
        // The BAR may be shorter than the buffer, behind a bridge with a small window, for example.
        let room = dev.resource_len(index)?.checked_sub(offset).ok_or(EINVAL)?;
        let bytes = usize::try_from(self.size.bytes().min(room))?;
        if cap.cmbs() {
            let address = dev.bus_address(index)?.checked_add(offset).ok_or(EINVAL)?;
            self.control = Some(CMBMSC::enabled_at(address)?);
            self.enable(bar)?;
        }
        let pool = P2pPool::register(dev, index, bytes, offset)?;
        if self.size.is_for_data() {
            pool.publish(dev)?;
        }
        self.pool = Some(pool);
        self.room = bytes;
        Ok(())
    }

    /// Enables the buffer at its address, which the controller forgets when its function is reset.
    /// `ERANGE` if the controller refuses the address. The function must be enabled.
    pub(crate) fn enable(&self, bar: &Bar0) -> Result {
        let Some(control) = self.control else {
            return Ok(());
        };
        control.write(bar)?;
        if CMBSTS::read(bar)?.cbai() {
            return Err(ERANGE);
        }
        Ok(())
    }

    /// Returns the register Controller Memory Buffer Location, as [`Cmb::find`] read it.
    pub(crate) fn location(&self) -> CMBLOC {
        self.location
    }

    /// Returns the register Controller Memory Buffer Size, as [`Cmb::find`] read it.
    pub(crate) fn size(&self) -> CMBSZ {
        self.size
    }

    /// Returns the size of the pool, in bytes; 0 if the memory cannot be used.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Returns the pool that submission queues are allocated from. `None` if the memory cannot be used,
    /// if the controller does not support submission queues in it, or if the module parameter forbids
    /// them.
    pub(crate) fn for_queues(&self) -> Option<&P2pPool> {
        let wanted = self.size.sqs() && parameters::use_cmb_sqes.value();
        self.pool.as_ref().filter(|_| wanted)
    }
}
