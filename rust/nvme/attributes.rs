// SPDX-License-Identifier: GPL-2.0

//! What a transport adds to a controller's folder in sysfs, `/sys/class/nvme/nvmeX`.

use super::{
    Controller,
    Transport, //
};
use crate::{
    bindings,
    layout,
    sysfs::{
        Access,
        Show,
        Store, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::offset_of, //
};
use kernel::prelude::*;

/// A file in the folder of a controller of transport `T`.
///
/// It may be read and written from when the controller is added until it is uninitialised, which
/// waits for whoever does so.
///
/// # Examples
///
/// ```
/// # use kernel::{fmt::Write, prelude::*};
/// # use kernel_ext::nvme::{Attribute, Transport};
/// /// Shows what optional admin commands a controller has, once it is known.
/// const fn oacs<T: Transport>() -> Attribute<T> {
///     Attribute::read_only(
///         c"oacs",
///         |ctrl| ctrl.oacs() != 0,
///         |ctrl, output| Ok(writeln!(output, "{:#x}", ctrl.oacs())?),
///     )
/// }
/// ```
#[repr(C)]
pub struct Attribute<T: Transport> {
    raw: bindings::device_attribute,
    access: Access<Controller<T>>,
    is_visible: fn(&Controller<T>) -> bool,
}

impl<T: Transport> Attribute<T> {
    /// An attribute that anybody can read (mode 0444), of the controllers that `is_visible` holds
    /// for when they are added or [`Controller::update_attributes`] is called.
    pub const fn read_only(
        name: &'static CStr,
        is_visible: fn(&Controller<T>) -> bool,
        show: Show<Controller<T>>,
    ) -> Self {
        Self::new(name, is_visible, Access::read_only(show))
    }

    /// As [`Attribute::read_only`], but root can write it, too (mode 0644): `store` gets what was
    /// written, without white space around it.
    pub const fn writable(
        name: &'static CStr,
        is_visible: fn(&Controller<T>) -> bool,
        show: Show<Controller<T>>,
        store: Store<Controller<T>>,
    ) -> Self {
        Self::new(name, is_visible, Access::writable(show, store))
    }

    const fn new(
        name: &'static CStr,
        is_visible: fn(&Controller<T>) -> bool,
        access: Access<Controller<T>>,
    ) -> Self {
        Self {
            raw: layout::device_attribute(
                access.attribute(name),
                show_callback::<T>,
                store_callback::<T>,
            ),
            access,
            is_visible,
        }
    }
}

/// How many attributes a transport can have.
const MOST: usize = 8;

/// The attributes of transport `T` as nvme-core wants them.
pub(super) struct Groups<T: Transport>(PhantomData<T>);

impl<T: Transport> Groups<T> {
    const ATTRIBUTES: &'static [*mut bindings::attribute; MOST + 1] = &{
        let mut list = [core::ptr::null_mut(); MOST + 1];
        let mut i = 0;
        while i < T::ATTRIBUTES.len() {
            assert!(i < MOST, "a transport has too many attributes");
            list[i] = (&raw const T::ATTRIBUTES[i].raw.attr).cast_mut();
            i += 1;
        }
        list
    };

    /// The transport's own.
    const OWN: &'static bindings::attribute_group = &layout::attribute_group(
        is_visible_callback::<T>,
        core::ptr::from_ref(Self::ATTRIBUTES).cast(),
    );

    /// Those and nvme-core's, up to a null pointer.
    pub(super) const LIST: &'static [*const bindings::attribute_group; 4] = &[
        &raw const bindings::nvme_dev_attrs_group,
        Self::OWN,
        &raw const bindings::nvme_dev_diag_attrs_group,
        core::ptr::null(),
    ];
}

impl<T: Transport> Controller<T> {
    /// Looks again which attributes are to be visible. Nothing happens unless the controller is
    /// added.
    pub fn update_attributes(&self) {
        let Some(_added) = self.use_added() else {
            return;
        };
        // SAFETY: The device is added, and the group is static.
        let ret = unsafe {
            bindings::sysfs_update_group(&raw mut (*(*self.as_raw()).device).kobj, Groups::<T>::OWN)
        };
        if ret != 0 {
            dev_warn!(self.device(), "attributes in sysfs are missing: {ret}\n");
        }
    }
}

/// # Safety
///
/// `dev` is the device of a `Controller<T>` that lives during `'a`.
unsafe fn controller<'a, T: Transport>(dev: *mut bindings::device) -> &'a Controller<T> {
    // SAFETY: By the contract of this function; nvme-core makes its controller the driver data of
    // the device, once.
    unsafe { Controller::from_raw(bindings::dev_get_drvdata(dev).cast()) }
}

/// # Safety
///
/// Only called by sysfs, for attribute `index` of the group of a `Controller<T>`'s device.
unsafe extern "C" fn is_visible_callback<T: Transport>(
    kobj: *mut bindings::kobject,
    attr: *mut bindings::attribute,
    index: c_int,
) -> bindings::umode_t {
    // SAFETY: By the contract of this function; `kobj` is in field `kobj`.
    let ctrl = unsafe {
        let dev = kobj.byte_sub(offset_of!(bindings::device, kobj)).cast();
        controller::<T>(dev)
    };
    let attribute = usize::try_from(index).map(|index| T::ATTRIBUTES.get(index));
    match attribute {
        // SAFETY: By the contract of this function.
        Ok(Some(attribute)) if (attribute.is_visible)(ctrl) => unsafe { (*attr).mode },
        _ => 0,
    }
}

/// # Safety
///
/// Only called by sysfs, for an attribute of a `Controller<T>`'s group, with a zeroed page to
/// print to.
unsafe extern "C" fn show_callback<T: Transport>(
    dev: *mut bindings::device,
    attr: *mut bindings::device_attribute,
    page: *mut c_char,
) -> isize {
    // SAFETY: By the contract of this function. `attr` is the first field of an entry of
    // `T::ATTRIBUTES`; sysfs keeps the device during the call.
    unsafe {
        let attribute = &*attr.cast_const().cast::<Attribute<T>>();
        attribute.access.show(controller::<T>(dev), page)
    }
}

/// # Safety
///
/// Only called by sysfs, for an attribute of a `Controller<T>`'s group, with `len` bytes that were
/// written.
unsafe extern "C" fn store_callback<T: Transport>(
    dev: *mut bindings::device,
    attr: *mut bindings::device_attribute,
    bytes: *const c_char,
    len: usize,
) -> isize {
    // SAFETY: As for `show_callback`; `bytes` holds what was written.
    unsafe {
        let attribute = &*attr.cast_const().cast::<Attribute<T>>();
        attribute.access.store(controller::<T>(dev), bytes, len)
    }
}
