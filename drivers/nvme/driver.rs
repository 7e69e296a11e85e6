// SPDX-License-Identifier: GPL-2.0

//! The callbacks of the PCI core.
//!
//! The PCI core calls them with the device lock of the function held, and they may sleep. In these cases
//! it holds the rescan lock, too: `sriov_configure`; `probe` and `unbind` of a VF while `sriov_numvfs`
//! is written; and `unbind` when the device is removed, or when its PF's VFs are disabled.
//! `sriov_set_vf_msix` is called with the device locks of both the PF and the VF. `leave`, which is not
//! the PCI core's, is called before the driver is unregistered, with no lock held.
//!
//! Only this module uses both `control` and `sriov` to put a function together; it sends no commands
//! itself.

mod vfs;

use crate::{
    bar::{
        self,
        Bar0, //
    },
    control::{
        io_queues,
        lifecycle,
        power, //
    },
    controller::{
        Hardware,
        Idle,
        Nvme,
        Role,
        Single, //
    },
    memory::cmb::Cmb,
    parameters,
    quirks,
    sriov::{
        self,
        Family,
        Primary,
        Secondary, //
    },
    transport, //
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
        Quirks,
        State, //
    },
    pci::{
        sriov::RescanLocked,
        BoundLock,
        ChannelState,
        DeviceExt,
        Driver,
        Recovery,
        Regions,
        Registered, //
    },
    workqueue::DropLater, //
};

/// The driver.
pub(crate) struct NvmeDriver;

/// The driver's data of a bound function.
///
/// Fields are dropped in this order: the folders in sysfs, the reference to the controller, the claim to
/// its registers.
#[pin_data]
pub(crate) struct Function<'bound> {
    _folders: Option<sriov::Folders>,
    /// `Some` for a physical function with VFs.
    family: Option<Arc<Family>>,
    /// Dropped in another thread: if it is the last reference, the block layer waits for a grace period,
    /// and VFs that are removed together should not wait one after the other.
    ctrl: DropLater<ARef<Controller<Nvme>>>,
    _regions: Regions<'bound>,
}

impl Function<'_> {
    /// Returns the controller.
    fn controller(&self) -> &Controller<Nvme> {
        &self.ctrl
    }

    /// Returns the family of the function. `EOPNOTSUPP` if it has no VFs.
    fn family(&self) -> Result<&Arc<Family>> {
        self.family.as_ref().ok_or(EOPNOTSUPP)
    }
}

/// Returns the quirks of `dev`, with the module's parameters applied.
fn quirks_of(dev: &Device<Core<'_>>) -> Quirks {
    quirks::of_device(dev, !parameters::noacpi.value(), parameters::quirks.value())
}

/// Makes the controller known to others of its device, and to user space.
fn add(ctrl: &Controller<Nvme>) -> Result {
    // This must precede sysfs: in this state, user space cannot reset the controller until it is live,
    // and a timeout of one of the first commands ends the start.
    ctrl.change_state(State::Connecting);
    let role = &ctrl.data().role;
    role.join(ctrl)?;
    ctrl.add().inspect_err(|_| role.leave(ctrl))
}

/// Creates the family of `dev`, and shares it with the probes of the VFs. Returns `None` if `dev` is no
/// physical function with VFs.
fn family(dev: &Device<Core<'_>>, driver: &Registered<NvmeDriver>) -> Result<Option<Arc<Family>>> {
    if !dev.is_physfn() || dev.total_vfs() == 0 {
        return Ok(None);
    }
    let family = Family::new(dev)?;
    driver.share(dev, family.clone())?;
    Ok(Some(family))
}

/// Returns the role of the controller of `dev`. `family` is the one that `dev` has as a physical
/// function.
fn role(
    dev: &Device<Core<'_>>,
    driver: &Registered<NvmeDriver>,
    family: Option<&Arc<Family>>,
) -> Result<KBox<dyn Role>> {
    if let Some(family) = family {
        return Ok(KBox::new(Primary::new(family.clone()), GFP_KERNEL)?);
    }
    Ok(match driver.shared_of(dev) {
        Some((family, vf)) => KBox::new(Secondary::new(family, vf), GFP_KERNEL)?,
        None => KBox::new(Single, GFP_KERNEL)?,
    })
}

/// A controller, and its family if it is that of a physical function with VFs.
type WithFamily = (ARef<Controller<Nvme>>, Option<Arc<Family>>);

/// Creates the controller of `dev`, with its registers in `bar`, and makes it known.
fn create(
    dev: &Device<Core<'_>>,
    bound: Arc<BoundLock<Hardware>>,
    bar: Arc<Bar0>,
    driver: &Registered<NvmeDriver>,
) -> Result<WithFamily> {
    let cmb = Cmb::find(dev, &bar);
    let family = family(dev, driver)?;
    let role = role(dev, driver, family.as_ref())?;
    let quirks = quirks_of(dev);
    let spawner = driver.spawner();
    let ctrl = transport::new_controller(dev, bound, bar, quirks, cmb, role, spawner)?;
    add(&ctrl)?;
    Ok((ctrl, family))
}

/// Offers VFs to user space, and begins to enable those that the module parameter asks for. Returns the
/// folders in sysfs. A PF works without them, so failures are only reported.
fn offer_vfs(
    family: &Arc<Family>,
    ctrl: &Controller<Nvme>,
    dev: &Device<Core<'_>>,
    driver: &Registered<NvmeDriver>,
) -> Option<sriov::Folders> {
    let folders = sriov::Folders::new(family, ctrl, dev).unwrap_or_else(|e| {
        dev_warn!(dev, "no nvme_sriov in sysfs: {e:?}\n");
        None
    });
    sriov::warn_of_enabled_vfs(ctrl, dev);
    vfs::enable_later(family, ctrl, dev, driver);
    folders
}

#[vtable]
impl Driver for NvmeDriver {
    type Data<'bound> = Function<'bound>;
    type State = Hardware;
    type Shared = Family;

    const DMA_MIN_ALIGN_MASK: u32 = crate::spec::PAGE_SIZE - 1;
    const ID_TABLE: IdTable<()> = quirks::ID_TABLE;

    fn dma_mask(dev: &Device<Core<'_>>) -> DmaMask {
        quirks::dma_mask(quirks_of(dev))
    }

    fn probe<'bound>(
        dev: &'bound Device<Core<'_>>,
        bound: Arc<BoundLock<Hardware>>,
        driver: &'bound Registered<Self>,
    ) -> impl PinInit<Function<'bound>, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            let regions = Regions::request(dev, c"nvme_rs").inspect_err(|e| {
                dev_err!(dev, "cannot claim the registers: {e:?}\n");
            })?;
            let io_queues = io_queues::max_io_queues(quirks_of(dev))?;
            let bar = bar::map(&regions, dev, usize::from(io_queues) + 1).inspect_err(|e| {
                dev_err!(dev, "cannot map the registers in BAR 0: {e:?}\n");
            })?;
            let (ctrl, family) = create(dev, bound, bar, driver).inspect_err(|e| {
                dev_err!(dev, "cannot make the controller for nvme-core: {e:?}\n");
            })?;
            dev_info!(ctrl.device(), "pci function {}\n", dev.as_ref().name());

            if let Err(e) = lifecycle::start(&ctrl) {
                dev_err!(dev, "the controller cannot be started: {e:?}\n");
                lifecycle::teardown(&ctrl);
                return Err(e);
            }
            ctrl.flush_scan();
            ctrl.data().role.is_bound(&ctrl);
            let folders = family
                .as_ref()
                .and_then(|family| offer_vfs(family, &ctrl, dev, driver));
            Ok(try_pin_init!(Function {
                _folders: folders,
                family,
                ctrl: DropLater::new(ctrl, driver.spawner()),
                _regions: regions,
            }))
        })
    }

    fn unbind<'bound>(
        dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
        driver: &'bound Registered<Self>,
    ) {
        if let Some(family) = &data.family {
            RescanLocked::for_unbind(dev, driver.spawner(), |lock| {
                sriov::disable(family, &data.ctrl, lock);
            });
        }
        lifecycle::teardown(&data.ctrl);
    }

    fn leave(driver: &Registered<Self>, family: &Family) {
        vfs::disable_before_unload(driver, family);
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
        sriov::configure(data.family()?, &data.ctrl, dev, num_vfs, lock)
    }

    fn sriov_vf_total_msix<'bound>(
        _dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
    ) -> u32 {
        data.family()
            .map_or(0, |family| sriov::total_interrupts(family))
    }

    fn sriov_set_vf_msix<'bound>(
        _dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
        vf: u16,
        count: u32,
    ) -> Result {
        sriov::set_interrupts(data.family()?, vf, count)
    }

    fn reset_prepare<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) {
        lifecycle::stop_for_reset(&data.ctrl, false);
        data.ctrl.sync_queues();
    }

    fn reset_done<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) {
        if data.ctrl.data().take_idle(Idle::ForCallback) {
            data.ctrl.queue_reset();
            data.ctrl.flush_reset();
        }
    }

    fn freeze<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) -> Result {
        lifecycle::stop_for_reset(&data.ctrl, true);
        data.ctrl.data().role.hold(true);
        Ok(())
    }

    fn thaw<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) -> Result {
        lifecycle::restart(&data.ctrl)
    }

    fn suspend<'bound>(dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) -> Result {
        power::suspend(&data.ctrl, dev)
    }

    fn resume<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) -> Result {
        if power::resume(&data.ctrl) {
            return Ok(());
        }
        lifecycle::restart(&data.ctrl)
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
                if lifecycle::freeze(&data.ctrl) {
                    Recovery::NeedReset
                } else {
                    Recovery::Disconnect
                }
            }
            ChannelState::Failed => {
                dev_err!(
                    data.ctrl.device(),
                    "PCIe error, the device is lost; the controller is given up\n"
                );
                lifecycle::give_up(&data.ctrl);
                Recovery::Disconnect
            }
        }
    }

    fn slot_reset<'bound>(
        _dev: &'bound Device<Core<'_>>,
        data: Pin<&Function<'bound>>,
    ) -> Recovery {
        if lifecycle::restart(&data.ctrl).is_err() {
            data.ctrl.unquiesce_io();
        }
        Recovery::Recovered
    }

    fn error_resume<'bound>(_dev: &'bound Device<Core<'_>>, data: Pin<&Function<'bound>>) {
        data.ctrl.flush_reset();
    }
}
