// SPDX-License-Identifier: GPL-2.0

//! Parameters that are strings, given when the module is loaded.

use super::{
    Get,
    KernelParam,
    Parameter,
    Set, //
};
use crate::{
    bindings,
    layout, //
};
use core::cell::UnsafeCell;
use kernel::{
    prelude::*,
    str::CStr, //
};

/// A string parameter of at most `N - 1` bytes; made by
/// [`string_param!`](crate::string_param!).
///
/// # Examples
///
/// ```
/// kernel_ext::string_param! {
///     /// What to say.
///     greeting {
///         capacity: 32,
///         perm: 0o444,
///         check: |text| text.is_ascii(),
///         description: "Greeting, up to 31 characters",
///     }
/// }
///
/// if greeting.value().is_empty() {
///     // None was given.
/// }
/// ```
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
        super::descriptor(self, name, perm)
    }
}

impl<const N: usize> Parameter for StringParam<N> {
    type Value = [u8; N];

    const FLAGS: u32 = 0;
    const SET: Set = bindings::param_set_copystring;
    const GET: Get = bindings::param_get_string;

    fn load(&self) -> [u8; N] {
        // SAFETY: By the type invariants: the value is not being written, unless by the caller.
        unsafe { *self.value.get() }
    }

    unsafe fn store(&self, value: [u8; N]) -> Result {
        if !(self.check)(until_nul(&value)) {
            return Err(EINVAL);
        }
        // SAFETY: By the contract of this function the kernel is setting the parameter. As its file
        // in sysfs is not writable, that is while the module's arguments are parsed, when nobody
        // else looks at it.
        // INVARIANT: It has a NUL, as `SET` has put one there.
        unsafe { *self.value.get() = value };
        Ok(())
    }

    fn with(
        value: &mut [u8; N],
        mut param: bindings::kernel_param,
        f: impl FnOnce(*const bindings::kernel_param) -> c_int,
    ) -> c_int {
        let string = bindings::kparam_string {
            maxlen: N as c_uint,
            string: value.as_mut_ptr().cast(),
        };
        layout::set_param_arg(&mut param, (&raw const string).cast());
        f(&param)
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

/// Declares string parameters of a loadable module, each a static [`StringParam`] of its name.
///
/// `capacity` counts the NUL, too; a longer value is refused with `ENOSPC`. A value that `check`
/// does not hold for is refused with `EINVAL`. `perm` is the mode of the file in
/// `/sys/module/MODULE/parameters`, which cannot be writable.
///
/// # Examples
///
/// ```
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
