// SPDX-License-Identifier: GPL-2.0

//! What the PCI core calls.

use crate::{
    cmb::Cmb,
    controller::{
        Hardware,
        Nvme, //
    },
    lifecycle,
    parameters,
    power,
    quirks,
    regs::MIN_SIZE,
    sriov, //
};
use core::pin::Pin;
use kernel::{
    device::Core,
    dma::DmaMask,
    pci::{
        Device,
        IdTable, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};
use kernel_ext::{
    nvme::{
        Controller,
        State, //
    },
    pci::{
        sriov::RescanLocked,
        BoundLock,
        ChannelState,
        DeviceExt,
        Driver,
        Recovery,
        Regions, //
    },
};

/// The driver.
pub(crate) struct NvmeDriver;

/// A bound function.
///
/// Fields are dropped in this order: the folders in sysfs, the controller's reference, then the
/// claim to its registers.
#[pin_data]
pub(crate) struct Function<'bound> {
    _folders: Option<sriov::Folders>,
    ctrl: ARef<Controller<Nvme>>,
    _regions: Regions<'bound>,
}

impl Function<'_> {
    /// Whether the controller is being reset.
    pub(crate) fn is_resetting(&self) -> bool {
        self.ctrl.state().is_resetting()
    }

    /// Recovers the controller of a VF after a reset of its PF.
    pub(crate) fn wake(&self) {
        // In a state that allows no reset, the controller is being reset or removed already.
        let _ = self.ctrl.schedule_reset();
    }

    /// Starts the controller again; if it is not stopped, it is first. That of a PF with VFs is
    /// ready when this returns, as theirs are started next, and are offline before.
    fn restart(&self) -> Result {
        match self.ctrl.state() {
            State::Resetting => self.ctrl.schedule_reset_now()?,
            _ => self.ctrl.schedule_reset()?,
        }
        if sriov::is_enabled(&self.ctrl) {
            self.ctrl.flush_reset();
        }
        Ok(())
    }
}

#[vtable]
impl Driver for NvmeDriver {
    type Data<'bound> = Function<'bound>;
    type State = Hardware;

    const DMA_MIN_ALIGN_MASK: u32 = crate::prp::PAGE_SIZE - 1;
    const ID_TABLE: IdTable<()> = quirks::ID_TABLE;

    fn dma_mask(dev: &Device<Core<'_>>) -> DmaMask {
        quirks::dma_mask(quirks::of(dev))
    }

    fn probe<'bound>(
        dev: &'bound Device<Core<'_>>,
        bound: Arc<BoundLock<Hardware>>,
    ) -> impl PinInit<Function<'bound>, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let regions = Regions::request(dev, c"nvme_rs").inspect_err(|e| {
                dev_err!(dev, "cannot claim the registers: {e:?}\n");
            })?;
            let bar = regions.map::<MIN_SIZE>(0).inspect_err(|e| {
                dev_err!(dev, "cannot map the registers in BAR 0: {e:?}\n");
            })?;
            let cmb = Cmb::find(dev, &bar);
            let ctrl = Nvme::controller(dev, bound, bar, quirks::of(dev), cmb)
                .and_then(|ctrl| {
                    // Before sysfs has it: nobody may reset it until it is live. And the timeouts
                    // of the first commands do the right thing in this state.
                    ctrl.change_state(State::Connecting);
                    ctrl.add().map(|()| ctrl)
                })
                .inspect_err(|e| {
                    dev_err!(dev, "cannot make the controller for nvme-core: {e:?}\n");
                })?;
            dev_info!(ctrl.device(), "pci function {}\n", dev.as_ref().name());

            if let Err(e) = lifecycle::start(&ctrl) {
                dev_err!(dev, "the controller cannot be started: {e:?}\n");
                lifecycle::end(&ctrl);
                return Err(e);
            }
            ctrl.flush_scan();
            let folders = sriov::Folders::new(&ctrl, dev).unwrap_or_else(|e| {
                dev_warn!(dev, "no nvme_sriov in sysfs: {e:?}\n");
                None
            });
            enable_vfs(&ctrl, dev);
            Ok(try_pin_init!(Function {
                _folders: folders,
                ctrl,
                _regions: regions,
            }))
        })
    }

    fn unbind<'bound>(dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) {
        // Only for a PF with VFs: a VF whose driver is taken away while its PF disables the VFs
        // would wait for the PF's lock, and the PF for the VF's. Nor is a VF asked for VFs, whose
        // PF may be disabling it with its own of these locks held, as not all could be enabled.
        if dev.is_physfn() && sriov::is_enabled(&data.ctrl) {
            sriov::disable(&data.ctrl, &RescanLocked::for_unbind(dev));
        }
        lifecycle::end(&data.ctrl);
    }

    fn shutdown<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) {
        lifecycle::stop_for_reset(&data.ctrl, true);
    }

    fn sriov_configure<'bound>(
        dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
        num_vfs: u16,
        lock: &RescanLocked,
    ) -> Result<u16> {
        sriov::configure(&data.ctrl, dev, num_vfs, lock)
    }

    fn sriov_vf_total_msix<'bound>(
        _dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
    ) -> u32 {
        sriov::total_interrupts(&data.ctrl)
    }

    fn sriov_set_vf_msix<'bound>(
        _dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
        vf: u16,
        count: u32,
    ) -> Result {
        sriov::set_interrupts(&data.ctrl, vf, count)
    }

    fn reset_prepare<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) {
        sriov::wait_for_resets(&data.ctrl);
        lifecycle::stop_for_reset(&data.ctrl, false);
        data.ctrl.sync_queues();
    }

    fn reset_done<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) {
        if data.ctrl.schedule_reset_now().is_ok() {
            data.ctrl.flush_reset();
        }
    }

    fn freeze<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) -> Result {
        lifecycle::stop_for_reset(&data.ctrl, true);
        Ok(())
    }

    fn thaw<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) -> Result {
        data.restart()
    }

    fn suspend<'bound>(dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) -> Result {
        power::suspend(&data.ctrl, dev)
    }

    fn resume<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) -> Result {
        if power::resume(&data.ctrl) {
            return Ok(());
        }
        data.restart()
    }

    fn error_detected<'bound>(
        _dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
        state: ChannelState,
    ) -> Recovery {
        match state {
            ChannelState::Normal => Recovery::CanRecover,
            ChannelState::Frozen => {
                dev_warn!(data.ctrl.device(), "PCIe error, I/O is frozen; stopping\n");
                if data.ctrl.change_state(State::Resetting) {
                    lifecycle::stop(&data.ctrl, false);
                    Recovery::NeedReset
                } else {
                    lifecycle::stop(&data.ctrl, true);
                    Recovery::Disconnect
                }
            }
            ChannelState::Failed => {
                dev_warn!(data.ctrl.device(), "PCIe error, the device is lost\n");
                Recovery::Disconnect
            }
        }
    }

    fn slot_reset<'bound>(
        _dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
    ) -> Recovery {
        if data.restart().is_err() {
            data.ctrl.unquiesce_io();
        }
        Recovery::Recovered
    }

    fn error_resume<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) {
        data.ctrl.flush_reset();
    }
}

/// Enables the VFs that the module parameter asks for. That they cannot be does not stop the PF.
fn enable_vfs(ctrl: &Controller<Nvme>, dev: &Device<Core<'_>>) {
    let want = parameters::sriov_vfs.value();
    let num = u16::try_from(want).unwrap_or(u16::MAX).min(dev.total_vfs());
    if num == 0 || !dev.is_physfn() {
        return;
    }
    // Probing is asynchronous, so nobody who holds this lock waits for us.
    let lock = RescanLocked::lock();
    if let Err(e) = sriov::configure(ctrl, dev, num, &lock) {
        dev_warn!(ctrl.device(), "sriov_vfs={want} was not met: {e:?}\n");
    }
}
