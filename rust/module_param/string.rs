// SPDX-License-Identifier: GPL-2.0

//! Parameters that are strings, given when the module is loaded.

use super::KernelParam;
use crate::{
    bindings,
    layout, //
};
use core::cell::UnsafeCell;
use kernel::{
    error::to_result,
    prelude::*,
    str::CStr, //
};

/// A string parameter of at most `N - 1` bytes; made by
/// [`string_param!`](crate::string_param!).
///
/// # Invariants
///
/// `value` has a NUL. It is only written while the kernel parses the module's arguments, before
/// the module's code runs and before the parameter shows in sysfs.
pub struct StringParam<const N: usize> {
    value: UnsafeCell<[u8; N]>,
    check: fn(&[u8]) -> bool,
}

// SAFETY: By the type invariants, nobody reads while `value` is written.
unsafe impl<const N: usize> Sync for StringParam<N> {}

impl<const N: usize> StringParam<N> {
    const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: 0,
        set: Some(set_callback::<N>),
        get: Some(get_callback::<N>),
        free: None,
    };

    #[doc(hidden)]
    pub const fn new(check: fn(&[u8]) -> bool) -> Self {
        assert!(N > 0, "a string has a NUL");
        // INVARIANT: All bytes are NUL.
        Self {
            value: UnsafeCell::new([0; N]),
            check,
        }
    }

    /// The value, without NUL; nothing if none was given.
    pub fn value(&self) -> &[u8] {
        // SAFETY: By the type invariants: this is the module's code.
        until_nul(unsafe { &*self.value.get() })
    }

    /// What the kernel has of the parameter: its `name`, and what its file in sysfs permits, which
    /// must not be writing.
    #[doc(hidden)]
    pub const fn descriptor(&'static self, name: &'static CStr, perm: u16) -> KernelParam {
        assert!(perm & 0o222 == 0, "a string parameter is not writable");
        KernelParam::new(layout::kernel_param(
            name,
            &Self::OPS,
            perm,
            core::ptr::from_ref(self).cast(),
        ))
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

/// Calls `f` with a copy of `param` that describes the string in `value`.
///
/// # Safety
///
/// `param` was made by [`StringParam::descriptor`] of a `StringParam<N>`.
unsafe fn with_string<const N: usize>(
    value: *mut [u8; N],
    param: *const bindings::kernel_param,
    f: impl FnOnce(*const bindings::kernel_param) -> c_int,
) -> c_int {
    let string = bindings::kparam_string {
        maxlen: N as c_uint,
        string: value.cast(),
    };
    // SAFETY: By the contract of this function.
    let mut copy = unsafe { *param };
    layout::set_param_arg(&mut copy, (&raw const string).cast());
    f(&copy)
}

/// # Safety
///
/// Only called for a parameter that [`StringParam::descriptor`] of a `StringParam<N>` describes,
/// with its lock held, and with a string. As its file in sysfs is not writable, that is while the
/// module's arguments are parsed.
unsafe extern "C" fn set_callback<const N: usize>(
    string: *const c_char,
    param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: By the contract of this function; `descriptor` has set `arg`.
    let this = unsafe { &*layout::param_arg(&*param).cast::<StringParam<N>>() };
    let mut value = [0; N];
    // SAFETY: By the contract of this function; the function writes `N` bytes at most, with a NUL.
    let ret = unsafe {
        with_string(&mut value, param, |param| {
            bindings::param_set_copystring(string, param)
        })
    };
    if to_result(ret).is_err() {
        return ret;
    }
    if !(this.check)(until_nul(&value)) {
        return EINVAL.to_errno();
    }
    // SAFETY: By the contract of this function nobody else looks at it now.
    // INVARIANT: It has a NUL.
    unsafe { *this.value.get() = value };
    0
}

/// # Safety
///
/// Only called for a parameter that [`StringParam::descriptor`] of a `StringParam<N>` describes,
/// with a page to write to.
unsafe extern "C" fn get_callback<const N: usize>(
    buffer: *mut c_char,
    param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: By the contract of this function; `descriptor` has set `arg`.
    let this = unsafe { &*layout::param_arg(&*param).cast::<StringParam<N>>() };
    // SAFETY: By the contract of this function; the value is only read, and has a NUL.
    unsafe {
        with_string(this.value.get(), param, |param| {
            bindings::param_get_string(buffer, param)
        })
    }
}

/// Declares string parameters of a loadable module, each a static [`StringParam`] of its name.
///
/// `capacity` counts the NUL, too; a longer value is refused with `ENOSPC`. A value that `check`
/// does not hold for is refused with `EINVAL`. `perm` is the mode of the file in
/// `/sys/module/MODULE/parameters`, which cannot be writable.
///
/// ```ignore
/// kernel_ext::string_param! {
///     /// What to say.
///     pub(crate) greeting {
///         capacity: 32,
///         perm: 0o444,
///         check: |text| text.is_ascii(),
///         description: "Greeting, up to 31 characters",
///     }
/// }
/// ```
///
/// [`StringParam`]: crate::module_param::StringParam
#[macro_export]
macro_rules! string_param {
    ($(
        $(#[$attr:meta])*
        $vis:vis $name:ident {
            capacity: $capacity:expr,
            perm: $perm:expr,
            check: $check:expr,
            description: $description:literal,
        }
    )*) => {$(
        $(#[$attr])*
        #[allow(non_upper_case_globals)]
        $vis static $name: $crate::module_param::StringParam<{ $capacity }> =
            $crate::module_param::StringParam::new($check);

        $crate::module_param!(@register $name, "string", $perm, $description);
    )*};
}
