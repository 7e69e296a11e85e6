// SPDX-License-Identifier: GPL-2.0

//! Layouts that neither the `kernel` crate nor C promises.
//!
//! What the other modules have to know of them is here, with an assertion where the compiler does
//! not check it anyway: how types of the `kernel` crate lie over C's, bindgen's names for unions
//! that have none, fields that are read while C writes them, and numbers that bindgen leaves out.
//! Nothing outside this file names a `__bindgen_anon_N`, or casts a device. For a new kernel, begin
//! here.
//!
//! Numbers that only C can see are compared by `helpers.c`, and those that C's compiler may have
//! otherwise come from `sizes.c`. Types of this crate that begin with a structure of C's are
//! `repr(C)`, where they are.

use crate::bindings;
use core::mem::{
    offset_of,
    MaybeUninit, //
};
use kernel::{
    device::{
        self,
        DeviceContext, //
    },
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    pci,
    str::CStr,
    sync::atomic::Atomic, //
};

/// Asserts that each type has size and alignment of the other.
macro_rules! assert_same_layout {
    ($($one:ty = $other:ty),* $(,)?) => {$(
        const _: () = {
            assert!(size_of::<$one>() == size_of::<$other>());
            assert!(align_of::<$one>() == align_of::<$other>());
        };
    )*};
}
pub(crate) use assert_same_layout;

/// Asserts that each number is the one that C's compiler has.
macro_rules! assert_numbers {
    ($($here:expr => $there:ident),* $(,)?) => {$(
        const _: () = assert!($here == bindings::$there as usize);
    )*};
}

/// Asserts that each field of `$c` has the size of a type, and can be read as one.
macro_rules! assert_fields {
    ($c:ty { $($field:ident: $t:ty),* $(,)? }) => {$(
        const _: () = {
            const fn size_of_pointee<T>(_: *const T) -> usize {
                size_of::<T>()
            }

            let c = MaybeUninit::<$c>::uninit();
            // SAFETY: The place of a field of `c`, which is not read.
            let field = unsafe { &raw const (*c.as_ptr()).$field };
            assert!(size_of_pointee(field) == size_of::<$t>());
            assert!(offset_of!($c, $field) % align_of::<$t>() == 0);
            assert!(align_of::<$c>() >= align_of::<$t>());
        };
    )*};
}

// Types of the `kernel` crate that are `repr(transparent)`, which is not a part of their interface.

assert_same_layout! {
    pci::Device<device::Normal> = bindings::pci_dev,
    pci::Device<device::Bound> = bindings::pci_dev,
    pci::Device<device::Core<'static>> = bindings::pci_dev,
    pci::Device<device::CoreInternal<'static>> = bindings::pci_dev,
    device::Device<device::Normal> = bindings::device,
    device::Device<device::Bound> = bindings::device,
    pci::Vendor = u16,
    Atomic<i32> = bindings::atomic_t,
}

/// Returns the C structure behind `dev`.
#[inline]
pub(crate) fn pci_dev<Ctx: DeviceContext>(dev: &pci::Device<Ctx>) -> *mut bindings::pci_dev {
    // CAST: `Device` is transparent over `struct pci_dev`.
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// Returns the device of C structure `dev`.
///
/// # Safety
///
/// `dev` is valid and in context `Ctx` during `'a`.
#[inline]
pub(crate) unsafe fn pci_dev_from_raw<'a, Ctx: DeviceContext>(
    dev: *mut bindings::pci_dev,
) -> &'a pci::Device<Ctx> {
    // SAFETY: By the contract of this function. `Device` is transparent over `struct pci_dev`.
    unsafe { &*dev.cast() }
}

/// Returns the C structure behind `dev`.
#[inline]
pub(crate) fn device<Ctx: DeviceContext>(dev: &device::Device<Ctx>) -> *mut bindings::device {
    // CAST: `Device` is transparent over `struct device`.
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// Returns `number` as a vendor.
pub(crate) const fn vendor(number: u16) -> pci::Vendor {
    // SAFETY: `Vendor` is transparent over `u16`, and the kernel crate makes one of any number that
    // a device reads as.
    unsafe { core::mem::transmute::<u16, pci::Vendor>(number) }
}

// What of a completion queue entry this crate has as a number.

assert_same_layout! {
    bindings::nvme_completion_nvme_result = u64,
}

// Structures that bindgen and C's compiler agree about. They see the same headers, but for flags
// that only the latter knows.

assert_numbers! {
    size_of::<bindings::blk_dma_iter>() => EXT_SIZE_BLK_DMA_ITER,
    size_of::<bindings::blk_mq_tag_set>() => EXT_SIZE_BLK_MQ_TAG_SET,
    size_of::<bindings::device>() => EXT_SIZE_DEVICE,
    size_of::<bindings::dma_iova_state>() => EXT_SIZE_DMA_IOVA_STATE,
    size_of::<bindings::nvme_ctrl>() => EXT_SIZE_NVME_CTRL,
    size_of::<bindings::nvme_request>() => EXT_SIZE_NVME_REQUEST,
    size_of::<bindings::nvme_subsystem>() => EXT_SIZE_NVME_SUBSYSTEM,
    size_of::<bindings::pci_dev>() => EXT_SIZE_PCI_DEV,
    size_of::<bindings::pci_driver>() => EXT_SIZE_PCI_DRIVER,
    size_of::<bindings::request>() => EXT_SIZE_REQUEST,
    offset_of!(bindings::nvme_ctrl, sgls) => EXT_OFFSET_NVME_CTRL_SGLS,
    offset_of!(bindings::pci_dev, priv_flags) => EXT_OFFSET_PCI_DEV_PRIV_FLAGS,
    offset_of!(bindings::request, state) => EXT_OFFSET_REQUEST_STATE,
}

// Fields that are read or written while C may do so, each as one word, or by another type.

assert_fields! {
    bindings::nvme_ctrl {
        abort_limit: i32,
        admin_q: usize,
        admin_timeout: u32,
        cap: u64,
        ctrl_config: u32,
        hmmaxd: u16,
        hmmin: u32,
        hmminds: u32,
        hmpre: u32,
        max_integrity_segments: u32,
        npss: u8,
        oacs: u16,
        queue_count: u32,
        quirks: usize,
        sgls: u32,
        sqsize: u16,
        state: u32,
        subsys: usize,
    }
}
assert_fields!(bindings::nvme_subsystem {
    model: [u8; 40],
    firmware_rev: [u8; 8]
});
assert_fields!(bindings::nvme_request {
    genctr: u8,
    flags: u8
});
assert_fields!(bindings::request {
    state: u32,
    tag: c_int
});
assert_fields!(bindings::pci_dev {
    error_state: u32,
    priv_flags: usize
});

// Unions without a name.

/// Returns the place of `rq`'s link in a `struct rq_list`.
///
/// # Safety
///
/// `rq` points to a request.
#[inline]
pub(crate) const unsafe fn rq_next(rq: *mut bindings::request) -> *mut *mut bindings::request {
    // SAFETY: By the contract of this function.
    unsafe { &raw mut (*rq).__bindgen_anon_1.rq_next }
}

/// Returns the payload of `rq` that takes the place of its data.
///
/// # Safety
///
/// `rq` is valid, and has `RQF_SPECIAL_PAYLOAD` set.
#[inline]
pub(crate) const unsafe fn special_vec(rq: *const bindings::request) -> bindings::bio_vec {
    // SAFETY: By the contract of this function.
    unsafe { (*rq).__bindgen_anon_3.special_vec }
}

/// Returns a parameter of this module that has `arg` as its argument.
#[inline]
pub(crate) const fn kernel_param(
    name: &'static CStr,
    ops: &'static bindings::kernel_param_ops,
    perm: u16,
    arg: *const c_void,
) -> bindings::kernel_param {
    bindings::kernel_param {
        name: kernel::str::as_char_ptr_in_const_context(name),
        mod_: (&raw const bindings::__this_module).cast_mut(),
        ops,
        perm,
        level: -1,
        flags: 0,
        __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
            arg: arg.cast_mut(),
        },
    }
}

/// Returns the argument of `param`, which points to whatever its operations make of it.
#[inline]
pub(crate) const fn param_arg(param: &bindings::kernel_param) -> *mut c_void {
    // SAFETY: The union has pointers alone.
    unsafe { param.__bindgen_anon_1.arg }
}

/// Gives `param` another argument.
#[inline]
pub(crate) const fn set_param_arg(param: &mut bindings::kernel_param, arg: *const c_void) {
    param.__bindgen_anon_1.arg = arg.cast_mut();
}

/// Returns a device's attribute.
#[inline]
pub(crate) const fn device_attribute(
    attr: bindings::attribute,
    show: unsafe extern "C" fn(
        *mut bindings::device,
        *mut bindings::device_attribute,
        *mut c_char,
    ) -> isize,
    store: unsafe extern "C" fn(
        *mut bindings::device,
        *mut bindings::device_attribute,
        *const c_char,
        usize,
    ) -> isize,
) -> bindings::device_attribute {
    let mut raw: bindings::device_attribute = pin_init::zeroed();
    raw.attr = attr;
    raw.__bindgen_anon_1.show = Some(show);
    raw.__bindgen_anon_2.store = Some(store);
    raw
}

/// Returns a group of the attributes in `attrs`, which ends with a null pointer.
#[inline]
pub(crate) const fn attribute_group(
    is_visible: unsafe extern "C" fn(
        *mut bindings::kobject,
        *mut bindings::attribute,
        c_int,
    ) -> bindings::umode_t,
    attrs: *const *mut bindings::attribute,
) -> bindings::attribute_group {
    bindings::attribute_group {
        __bindgen_anon_1: bindings::attribute_group__bindgen_ty_1 {
            is_visible: Some(is_visible),
        },
        __bindgen_anon_2: bindings::attribute_group__bindgen_ty_2 {
            attrs: attrs.cast_mut(),
        },
        ..pin_init::zeroed()
    }
}
