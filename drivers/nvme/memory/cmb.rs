// SPDX-License-Identifier: GPL-2.0

//! The Controller Memory Buffer: memory of the controller for queues and data (base specification,
//! section 8.2.1).
//!
//! The kernel has it as memory for peer-to-peer DMA. What user space or other drivers do not take
//! is for submission queues, whose entries the controller then need not fetch from the host.

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
    /// What enables it; nothing does before revision 1.4.
    control: Option<CMBMSC>,
    /// The memory, unless it cannot be used.
    pool: Option<P2pPool>,
}

impl Cmb {
    /// Looks for the buffer of function `dev`, and registers its memory. `None` without one, and if
    /// the device does not answer; whoever starts the controller finds out why.
    pub(crate) fn find(dev: &Device<Core<'_>>, bar: &Bar0) -> Option<Self> {
        // Only to read registers; nobody is served yet.
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
        };
        if let Err(e) = cmb.register(dev, bar, cap) {
            dev_warn!(dev, "the controller memory buffer cannot be used: {e:?}\n");
            if let Some(control) = cmb.control.take() {
                let _ = control.with_cmse(false).write(bar);
            }
        }
        Some(cmb)
    }

    /// Registers the memory, and enables it. `ERANGE` if the controller does not like the address.
    fn register(&mut self, dev: &Device<Core<'_>>, bar: &Bar0, cap: CAP) -> Result {
        let index = self.location.bar();
        let offset = self.location.offset(self.size);
        // The BAR may be shorter, behind a bridge with little room, say.
        let room = dev.resource_len(index)?.checked_sub(offset).ok_or(EINVAL)?;
        let bytes = usize::try_from(self.size.bytes().min(room))?;
        if cap.cmbs() {
            let address = dev.bus_address(index)?.checked_add(offset).ok_or(EINVAL)?;
            self.control = Some(CMBMSC::enabled_at(address)?);
            self.enable(bar)?;
        }
        let pool = P2pPool::register(dev, index, bytes, offset)?;
        if self.size.is_for_data() {
            pool.publish();
        }
        self.pool = Some(pool);
        Ok(())
    }

    /// Has the controller know the buffer's addresses, which it forgets when its function is
    /// reset. `ERANGE` if it does not like them. The function is enabled.
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

    /// Controller Memory Buffer Location, as it was read.
    pub(crate) fn location(&self) -> CMBLOC {
        self.location
    }

    /// Controller Memory Buffer Size, as it was read.
    pub(crate) fn size(&self) -> CMBSZ {
        self.size
    }

    /// Where submission queues are to be taken from, if they may be in the buffer.
    pub(crate) fn for_queues(&self) -> Option<&P2pPool> {
        let wanted = self.size.sqs() && parameters::use_cmb_sqes.value();
        self.pool.as_ref().filter(|_| wanted)
    }
}
