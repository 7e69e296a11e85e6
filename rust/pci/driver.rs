// SPDX-License-Identifier: GPL-2.0

//! PCI driver registration with the callbacks that `kernel::pci::Driver` lacks.
//!
//! [`Adapter`] plugs into [`kernel::driver::Registration`] as the kernel crate's own adapter does,
//! so the driver core creates and drops the private data.
//!
//! All callbacks may sleep, and run with the device lock held.

use super::sriov::VirtualFunction as _;
use super::{
    as_raw,
    from_raw,
    sriov,
    BoundLock,
    DeviceLocked,
    Registered, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::offset_of,
    pin::Pin, //
};
use kernel::{
    device,
    dma::{
        Device as _,
        DmaMask, //
    },
    driver,
    error::{
        from_result,
        to_result,
        VTABLE_DEFAULT_ERROR, //
    },
    pci::{
        Device,
        IdTable, //
    },
    prelude::*,
    str::CStr,
    sync::Arc,
    types::Opaque,
    ThisModule, //
};

/// A PCI driver.
///
/// All callbacks run with the device's lock held, between the start of `probe` and the end of
/// `unbind`. Those after `leave` are optional: the PCI core is told of the ones that a driver has.
/// Of those for system sleep it must have all four, of those for the interrupts of VFs both.
///
/// # Examples
///
/// ```
/// # use core::pin::Pin;
/// # use kernel::{
/// #     device::Core,
/// #     dma::DmaMask,
/// #     driver::Registration,
/// #     pci::{Device, IdTable},
/// #     prelude::*,
/// #     sync::Arc,
/// #     InPlaceModule, ModuleMetadata, ThisModule,
/// # };
/// # use kernel_ext::pci::{self, device_id, BoundLock, DeviceEnabled, Regions, Registered};
/// struct Sample;
///
/// /// Lives from probe to unbind, which its lifetime says.
/// #[pin_data]
/// struct Data<'bound> {
///     _regions: Regions<'bound>,
///     /// What work items, say, reach the device by.
///     bound: Arc<BoundLock<Option<DeviceEnabled>>>,
/// }
///
/// kernel::pci_device_table!(IDS, (), [(device_id(0x1b36, 0x0010), ())]);
///
/// #[vtable]
/// impl pci::Driver for Sample {
///     type Data<'bound> = Data<'bound>;
///     type State = Option<DeviceEnabled>;
///     type Shared = ();
///     const DMA_MIN_ALIGN_MASK: u32 = 0xfff;
///     const ID_TABLE: IdTable<()> = &IDS;
///
///     fn dma_mask(_dev: &Device<Core<'_>>) -> DmaMask {
///         DmaMask::new::<64>()
///     }
///
///     fn probe<'bound>(
///         dev: &'bound Device<Core<'_>>,
///         bound: Arc<BoundLock<Self::State>>,
///         _driver: &'bound Registered<Self>,
///     ) -> impl PinInit<Data<'bound>, Error> + 'bound {
///         pin_init::pin_init_scope(move || {
///             // If this fails, the adapter revokes `bound`: the device is disabled again.
///             *bound.lock()? = Some(DeviceEnabled::new(dev)?);
///             Ok(try_pin_init!(Data {
///                 _regions: Regions::request(dev, c"sample")?,
///                 bound,
///             }))
///         })
///     }
///
///     fn unbind<'bound>(
///         _dev: &'bound Device<Core<'_>>,
///         data: Pin<&Data<'bound>>,
///         _driver: &'bound Registered<Self>,
///     ) {
///         if let Ok(mut enabled) = data.bound.lock() {
///             *enabled = None;
///         }
///     }
///
///     // It shares nothing with VFs.
///     fn leave(_driver: &Registered<Self>, _shared: &()) {}
/// }
///
/// /// The module, for as long as it is loaded.
/// #[pin_data]
/// struct SampleModule {
///     #[pin]
///     _driver: Registration<pci::Adapter<Sample>>,
/// }
///
/// impl InPlaceModule for SampleModule {
///     fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
///         try_pin_init!(Self {
///             _driver <- Registration::new(c"sample", module),
///         })
///     }
/// }
/// ```
#[vtable]
pub trait Driver: Sized + 'static {
    /// The driver's private data of a bound device. Callbacks share it, hence `Sync`.
    type Data<'bound>: Send + Sync + 'bound;

    /// What the driver keeps in the device's [`BoundLock`]; dropped before the device is unbound.
    /// A default value, which holds nothing of the device, is there before and after that.
    type State: Send + Default + Unpin + 'static;

    /// What a physical function shares with the driver of its VFs, see [`Registered::share`].
    type Shared: Send + Sync + 'static;

    /// The low bits of an address that mapping must not change, as a mask.
    const DMA_MIN_ALIGN_MASK: u32;

    /// The devices that the driver is for. Entries have no data: the PCI core takes an ID that is
    /// written to `new_id` only with data that an entry has, and those of the kernel crate have
    /// addresses, which nobody could write.
    const ID_TABLE: IdTable<()>;

    /// Returns the mask of the addresses that `dev` can access.
    fn dma_mask(dev: &Device<device::Core<'_>>) -> DmaMask;

    /// Starts `dev`. `bound` gives the device to contexts that no callback covers, such as work
    /// items; it is revoked when the device is unbound, or when this fails.
    fn probe<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        bound: Arc<BoundLock<Self::State>>,
        driver: &'bound Registered<Self>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound;

    /// Stops `dev`: after this no part of the driver may need the device. Then the
    /// [`BoundLock`]'s contents and the private data are dropped, in this order.
    fn unbind<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
        driver: &'bound Registered<Self>,
    );

    /// Prepares the physical function that shares `shared` for the driver's end: the driver is
    /// about to be unregistered. No lock is held.
    fn leave(driver: &Registered<Self>, shared: &Self::Shared);

    /// Quiesces `dev` for power-off, reboot or kexec.
    fn shutdown<'bound>(dev: &'bound Device<device::Core<'_>>, data: Pin<&Self::Data<'bound>>) {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Enables `num_vfs` VFs, or disables all for 0, as the administrator wrote to `sriov_numvfs`.
    /// Returns how many VFs are enabled now.
    ///
    /// The PCI core has checked `num_vfs` against TotalVFs, and calls with a number above zero
    /// only while no VF is enabled.
    fn sriov_configure<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
        num_vfs: u16,
        lock: &sriov::RescanLocked,
    ) -> Result<u16> {
        let _ = (dev, data, num_vfs, lock);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns how many interrupts the VFs of `dev` can have together (`sriov_vf_total_msix`).
    fn sriov_vf_total_msix<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
    ) -> u32 {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Gives VF `vf`, from 0, of `dev` `count` interrupts, as the administrator wrote to its
    /// `sriov_vf_msix_count`; 0 is the driver's default. The VF has no driver, and its device lock
    /// is held too.
    fn sriov_set_vf_msix<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
        vf: u16,
        count: u32,
    ) -> Result {
        let _ = (dev, data, vf, count);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Stops using the device, as its function is about to be reset.
    fn reset_prepare<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
    ) {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Starts the device again after a function reset.
    fn reset_done<'bound>(dev: &'bound Device<device::Core<'_>>, data: Pin<&Self::Data<'bound>>) {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Stops the device, as an image of the system is about to be made or restored, or has been
    /// made and the system is about to be powered off.
    fn freeze<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
    ) -> Result {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Starts the device again after [`Driver::freeze`], whether the image was made or restored or
    /// not.
    fn thaw<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
    ) -> Result {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Stops the device, or makes it save power, as the system is about to sleep.
    fn suspend<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
    ) -> Result {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Starts the device again, as the system is awake.
    fn resume<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
    ) -> Result {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Handles an error that the device, or a bridge above it, has reported.
    fn error_detected<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
        state: ChannelState,
    ) -> Recovery {
        let _ = (dev, data, state);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Checks the device after the reset that [`Recovery::NeedReset`] asked for. Its configuration
    /// space is restored.
    fn slot_reset<'bound>(
        dev: &'bound Device<device::Core<'_>>,
        data: Pin<&Self::Data<'bound>>,
    ) -> Recovery {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Starts I/O again, as error recovery is over.
    fn error_resume<'bound>(dev: &'bound Device<device::Core<'_>>, data: Pin<&Self::Data<'bound>>) {
        let _ = (dev, data);
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The state of the channel to a device that reported an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// I/O works as before.
    Normal,
    /// I/O is blocked until the device is reset.
    Frozen,
    /// The device is lost.
    Failed,
}

/// The answer of a driver to error recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing is lost: go on without a reset.
    CanRecover,
    /// The device must be reset.
    NeedReset,
    /// The device cannot be helped.
    Disconnect,
    /// The device works again.
    Recovered,
}

impl Recovery {
    fn to_raw(self) -> bindings::pci_ers_result_t {
        match self {
            Self::CanRecover => bindings::pci_ers_result_PCI_ERS_RESULT_CAN_RECOVER,
            Self::NeedReset => bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET,
            Self::Disconnect => bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT,
            Self::Recovered => bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED,
        }
    }
}

/// The driver core's private data: the driver's own, and the lock that outlives it.
#[pin_data]
pub struct Private<'bound, T: Driver> {
    bound: Arc<BoundLock<T::State>>,
    #[pin]
    data: T::Data<'bound>,
}

/// Makes a [`Driver`] known to the PCI core.
pub struct Adapter<T: Driver>(PhantomData<T>);

// SAFETY:
// - `Registered<T>` embeds a `struct device_driver` at that offset.
// - `Private<T>` is what `probe_callback` stores as the device's private data.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = Registered<T>;
    type DriverData<'bound> = Private<'bound, T>;
    const DEVICE_DRIVER_OFFSET: usize = Registered::<T>::DEVICE_DRIVER_OFFSET;
}

// SAFETY: `unregister` undoes exactly what a successful `register` did.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        reg: &Opaque<Self::DriverType>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: By the contract of `register`, `reg` is a default value that nobody else uses
        // yet, and stays pinned until `unregister`.
        unsafe { Registered::init(reg.get(), name)? };
        // SAFETY: As above.
        let pdrv = unsafe { Registered::as_raw(reg.get()) };

        // SAFETY: As above, `pdrv` is a default `struct pci_driver`.
        unsafe {
            (*pdrv).name = name.as_char_ptr();
            (*pdrv).id_table = T::ID_TABLE.as_ptr();
            (*pdrv).probe = Some(Self::probe_callback);
            (*pdrv).remove = Some(Self::remove_callback);
            if T::HAS_SHUTDOWN {
                (*pdrv).shutdown = Some(Self::shutdown_callback);
            }
            if T::HAS_SRIOV_CONFIGURE {
                (*pdrv).sriov_configure = Some(Self::sriov_configure_callback);
            }
            if T::HAS_SRIOV_VF_TOTAL_MSIX && T::HAS_SRIOV_SET_VF_MSIX {
                (*pdrv).sriov_get_vf_total_msix = Some(Self::sriov_vf_total_msix_callback);
                (*pdrv).sriov_set_msix_vec_count = Some(Self::sriov_set_vf_msix_callback);
            }
            (*pdrv).err_handler = &Self::ERROR_HANDLERS;
            if T::HAS_FREEZE && T::HAS_THAW && T::HAS_SUSPEND && T::HAS_RESUME {
                (*pdrv).driver.pm = &Self::PM_OPS;
            }
            (*pdrv).driver.probe_type = bindings::probe_type_PROBE_PREFER_ASYNCHRONOUS;
        }

        // SAFETY: `pdrv` is filled in, and stays pinned until `unregister`.
        to_result(unsafe {
            bindings::__pci_register_driver(pdrv, module.as_ptr(), name.as_char_ptr())
        })
        .inspect_err(|_| {
            // SAFETY: Initialised above; no device was bound to the driver.
            unsafe { Registered::exit(reg.get()) };
        })
    }

    unsafe fn unregister(reg: &Opaque<Self::DriverType>) {
        // SAFETY: By the contract of `unregister`, `reg` is registered, so it is initialised.
        unsafe {
            (*reg.get()).leave_all();
            bindings::pci_unregister_driver(Registered::as_raw(reg.get()));
            Registered::exit(reg.get());
        }
    }
}

impl<T: Driver> Adapter<T> {
    /// Calls `f` with a device and the driver's data of it, if `driver` is bound to it.
    pub(super) fn with_locked<R>(
        driver: &Registered<T>,
        dev: &DeviceLocked,
        f: impl for<'a> FnOnce(&'a Device<device::Core<'a>>, Pin<&'a T::Data<'a>>) -> R,
    ) -> Option<R> {
        let dev = as_raw(dev.device());
        // SAFETY: `dev` is valid, and the lock keeps its driver as it is: if it is this very one,
        // the device was probed by `probe_callback`, so that the private data, which is there once
        // probing has succeeded, is a `Private<T>`.
        unsafe {
            let ours = core::ptr::eq((*dev).driver, driver.raw())
                && !bindings::dev_get_drvdata(&raw const (*dev).dev).is_null();
            ours.then(|| Self::with_data(dev, |dev, _, data| f(dev, data)))
        }
    }

    const ERROR_HANDLERS: bindings::pci_error_handlers = bindings::pci_error_handlers {
        reset_prepare: if T::HAS_RESET_PREPARE {
            Some(Self::reset_prepare_callback)
        } else {
            None
        },
        reset_done: if T::HAS_RESET_DONE {
            Some(Self::reset_done_callback)
        } else {
            None
        },
        error_detected: if T::HAS_ERROR_DETECTED {
            Some(Self::error_detected_callback)
        } else {
            None
        },
        slot_reset: if T::HAS_SLOT_RESET {
            Some(Self::slot_reset_callback)
        } else {
            None
        },
        resume: if T::HAS_ERROR_RESUME {
            Some(Self::error_resume_callback)
        } else {
            None
        },
        ..pin_init::zeroed()
    };

    /// System sleep and hibernation.
    const PM_OPS: bindings::dev_pm_ops = bindings::dev_pm_ops {
        suspend: Some(Self::suspend_callback),
        resume: Some(Self::resume_callback),
        freeze: Some(Self::freeze_callback),
        thaw: Some(Self::thaw_callback),
        poweroff: Some(Self::freeze_callback),
        restore: Some(Self::thaw_callback),
        ..pin_init::zeroed()
    };

    /// Calls `f` with the device behind `pdev` and the driver's data of it.
    ///
    /// # Safety
    ///
    /// `pdev` is valid and bound to this driver, `probe_callback` has succeeded for it and its
    /// private data is not dropped yet; all of this stays so during the call.
    unsafe fn with_data<R>(
        pdev: *mut bindings::pci_dev,
        f: impl for<'a> FnOnce(
            &'a Device<device::Core<'a>>,
            &'a BoundLock<T::State>,
            Pin<&'a T::Data<'a>>,
        ) -> R,
    ) -> R {
        // SAFETY: The caller promises validity, and callbacks run in the context that
        // `CoreInternal` stands for.
        let dev: &Device<device::CoreInternal<'_>> = unsafe { from_raw(pdev) };
        // SAFETY: The private data is a `Private<T>` by `probe_callback`.
        let private = unsafe { dev.as_ref().drvdata_borrow::<Private<'_, T>>() };
        let bound = &private.get_ref().bound;
        // SAFETY: `data` is structurally pinned in `Private`.
        let data = unsafe { private.map_unchecked(|p| &p.data) };
        f(dev, bound, data)
    }

    extern "C" fn probe_callback(
        pdev: *mut bindings::pci_dev,
        _id: *const bindings::pci_device_id,
    ) -> c_int {
        // SAFETY: The PCI core probes valid devices only, in the context of `CoreInternal`.
        let dev: &Device<device::CoreInternal<'_>> = unsafe { from_raw(pdev) };

        from_result(|| {
            let core: &Device<device::Core<'_>> = dev;
            // SAFETY: The driver has not seen the device yet, so it does no DMA.
            unsafe {
                core.dma_set_mask_and_coherent(T::dma_mask(core))?;
                core.dma_set_max_seg_size(u32::MAX);
                bindings::ext_dma_set_min_align_mask(&raw mut (*pdev).dev, T::DMA_MIN_ALIGN_MASK);
            }

            // SAFETY: The PCI core probes devices for registered drivers only, and has noted this
            // one in `pdev`.
            let driver = unsafe { Registered::<T>::of(pdev) };
            let bound = BoundLock::<T::State>::new(core)?;
            let held = bound.clone();
            let private = try_pin_init!(Private::<'_, T> {
                bound: held.clone(),
                data <- T::probe(core, held, driver),
            });

            dev.as_ref().set_drvdata(private).inspect_err(|_| {
                driver.end_sharing(core);
                bound.revoke();
            })?;
            Ok(0)
        })
    }

    extern "C" fn remove_callback(pdev: *mut bindings::pci_dev) {
        // SAFETY: The PCI core removes only what it has probed, once, and while the driver is
        // registered.
        unsafe {
            let driver = Registered::<T>::of(pdev);
            Self::with_data(pdev, |dev, bound, data| {
                T::unbind(dev, data, driver);
                driver.end_sharing(dev);
                bound.revoke();
            })
        }
    }

    extern "C" fn shutdown_callback(pdev: *mut bindings::pci_dev) {
        // SAFETY: The PCI core shuts down bound devices only, with the device lock held.
        unsafe { Self::with_data(pdev, |dev, _, data| T::shutdown(dev, data)) }
    }

    extern "C" fn sriov_configure_callback(pdev: *mut bindings::pci_dev, num_vfs: c_int) -> c_int {
        from_result(|| {
            let num_vfs = u16::try_from(num_vfs)?;
            // SAFETY: The PCI core calls this for bound devices only, with the device lock and
            // the rescan lock held.
            let enabled = unsafe {
                Self::with_data(pdev, |dev, _, data| {
                    let lock = sriov::RescanLocked::assume();
                    T::sriov_configure(dev, data, num_vfs, &lock)
                })
            }?;
            Ok(c_int::from(enabled))
        })
    }

    extern "C" fn sriov_vf_total_msix_callback(pdev: *mut bindings::pci_dev) -> u32 {
        // SAFETY: The PCI core calls this for bound devices only, with the device lock held.
        unsafe { Self::with_data(pdev, |dev, _, data| T::sriov_vf_total_msix(dev, data)) }
    }

    extern "C" fn sriov_set_vf_msix_callback(vf: *mut bindings::pci_dev, count: c_int) -> c_int {
        from_result(|| {
            let count = u32::try_from(count)?;
            // SAFETY: `vf` is a VF, as the PCI core calls this for no others.
            let (index, pf) = unsafe {
                let pf = bindings::ext_pci_physfn(vf);
                let index = from_raw::<device::Normal>(vf).index_in(from_raw(pf));
                (index.ok_or(EINVAL)?, pf)
            };
            // SAFETY: The PCI core has checked that the physical function is bound to this
            // driver, and holds its device lock.
            unsafe {
                Self::with_data(pf, |dev, _, data| {
                    T::sriov_set_vf_msix(dev, data, index, count)
                })
            }?;
            Ok(0)
        })
    }

    extern "C" fn reset_prepare_callback(pdev: *mut bindings::pci_dev) {
        // SAFETY: The PCI core calls this for bound devices only, with the device lock held.
        unsafe { Self::with_data(pdev, |dev, _, data| T::reset_prepare(dev, data)) }
    }

    extern "C" fn reset_done_callback(pdev: *mut bindings::pci_dev) {
        // SAFETY: As for `reset_prepare_callback`.
        unsafe { Self::with_data(pdev, |dev, _, data| T::reset_done(dev, data)) }
    }

    /// Returns the PCI device that `dev` is part of.
    ///
    /// # Safety
    ///
    /// `dev` is the device of a `struct pci_dev`.
    unsafe fn pci_dev(dev: *mut bindings::device) -> *mut bindings::pci_dev {
        // SAFETY: By the contract of this function.
        unsafe { dev.byte_sub(offset_of!(bindings::pci_dev, dev)).cast() }
    }

    extern "C" fn freeze_callback(dev: *mut bindings::device) -> c_int {
        // SAFETY: As for `suspend_callback`.
        let ret =
            unsafe { Self::with_data(Self::pci_dev(dev), |dev, _, data| T::freeze(dev, data)) };
        from_result(|| ret.map(|()| 0))
    }

    extern "C" fn thaw_callback(dev: *mut bindings::device) -> c_int {
        // SAFETY: As for `suspend_callback`.
        let ret = unsafe { Self::with_data(Self::pci_dev(dev), |dev, _, data| T::thaw(dev, data)) };
        from_result(|| ret.map(|()| 0))
    }

    extern "C" fn suspend_callback(dev: *mut bindings::device) -> c_int {
        // SAFETY: The PCI bus passes its own devices, bound ones, with the device lock held.
        let ret =
            unsafe { Self::with_data(Self::pci_dev(dev), |dev, _, data| T::suspend(dev, data)) };
        from_result(|| ret.map(|()| 0))
    }

    extern "C" fn resume_callback(dev: *mut bindings::device) -> c_int {
        // SAFETY: As for `suspend_callback`.
        let ret =
            unsafe { Self::with_data(Self::pci_dev(dev), |dev, _, data| T::resume(dev, data)) };
        from_result(|| ret.map(|()| 0))
    }

    extern "C" fn error_detected_callback(
        pdev: *mut bindings::pci_dev,
        state: bindings::pci_channel_state_t,
    ) -> bindings::pci_ers_result_t {
        let state = match state {
            bindings::pci_channel_io_normal => ChannelState::Normal,
            bindings::pci_channel_io_frozen => ChannelState::Frozen,
            _ => ChannelState::Failed,
        };
        // SAFETY: The PCI core calls this for bound devices only, with the device lock held.
        unsafe { Self::with_data(pdev, |dev, _, data| T::error_detected(dev, data, state)) }
            .to_raw()
    }

    extern "C" fn slot_reset_callback(pdev: *mut bindings::pci_dev) -> bindings::pci_ers_result_t {
        // SAFETY: `pdev` is valid.
        unsafe { bindings::pci_restore_state(pdev) };
        // SAFETY: As for `error_detected_callback`.
        unsafe { Self::with_data(pdev, |dev, _, data| T::slot_reset(dev, data)) }.to_raw()
    }

    extern "C" fn error_resume_callback(pdev: *mut bindings::pci_dev) {
        // SAFETY: As for `error_detected_callback`.
        unsafe { Self::with_data(pdev, |dev, _, data| T::error_resume(dev, data)) }
    }
}
