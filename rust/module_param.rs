// SPDX-License-Identifier: GPL-2.0

//! Module parameters that show in sysfs, may be writable there, and refuse bad values.
//!
//! Those of the kernel crate's `module!` are hidden and set once. These are parsed and printed by
//! the kernel's own functions, so they take and show what those of a C module do. [`ModuleParam`]
//! and [`ModuleParamAccess`] are named as what they would take the place of.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

mod string;

use crate::{
    bindings,
    layout, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        AtomicType,
        Relaxed, //
    }, //
};

pub use self::string::StringParam;

#[doc(hidden)]
pub use kernel::module_param::KernelParam;

mod private {
    pub trait Sealed {}
}

/// A function of the kernel's that parses a string into what a parameter's `arg` points to.
type Set = unsafe extern "C" fn(*const c_char, *const bindings::kernel_param) -> c_int;

/// A function of the kernel's that prints what a parameter's `arg` points to.
type Get = unsafe extern "C" fn(*mut c_char, *const bindings::kernel_param) -> c_int;

/// What a parameter of the kernel's is for Rust: where its value is, and what may be in it.
trait Parameter: Sync + Sized + 'static {
    /// What is parsed and printed.
    type Value;

    /// Flags of `struct kernel_param_ops`.
    const FLAGS: u32;
    /// Parses a `Value`, as [`Parameter::with`] hands it over.
    const SET: Set;
    /// Prints a `Value`, as [`Parameter::with`] hands it over.
    const GET: Get;

    /// `ops` of the parameter's `struct kernel_param`.
    const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: Self::FLAGS,
        set: Some(set_callback::<Self>),
        get: Some(get_callback::<Self>),
        free: None,
    };

    /// The value as it is now.
    fn load(&self) -> Self::Value;

    /// Makes `value` the new one. `EINVAL` if it is a bad one.
    ///
    /// # Safety
    ///
    /// Only called while the kernel sets the parameter, whose lock is held.
    unsafe fn store(&self, value: Self::Value) -> Result;

    /// Calls `f` with `param`, made to describe `value`.
    fn with(
        value: &mut Self::Value,
        param: bindings::kernel_param,
        f: impl FnOnce(*const bindings::kernel_param) -> c_int,
    ) -> c_int;
}

/// What the kernel has of `parameter`: its `name`, and what its file in sysfs permits.
const fn descriptor<P: Parameter>(
    parameter: &'static P,
    name: &'static CStr,
    perm: u16,
) -> KernelParam {
    KernelParam::new(layout::kernel_param(
        name,
        &P::OPS,
        perm,
        core::ptr::from_ref(parameter).cast(),
    ))
}

/// # Safety
///
/// Only called for a parameter that [`descriptor`] of a `P` describes, with its lock held, and with
/// a string, or null if the flags allow it.
unsafe extern "C" fn set_callback<P: Parameter>(
    string: *const c_char,
    param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: By the contract of this function; `descriptor` has set `arg`.
    let (this, param) = unsafe { (&*layout::param_arg(&*param).cast::<P>(), *param) };
    let mut value = this.load();
    // SAFETY: By the contract of this function; `with` hands over what `SET` writes.
    let ret = P::with(&mut value, param, |param| unsafe { P::SET(string, param) });
    if to_result(ret).is_err() {
        return ret;
    }
    // SAFETY: By the contract of this function.
    match unsafe { this.store(value) } {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// # Safety
///
/// Only called for a parameter that [`descriptor`] of a `P` describes, with a page to write to.
unsafe extern "C" fn get_callback<P: Parameter>(
    buffer: *mut c_char,
    param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: By the contract of this function; `descriptor` has set `arg`.
    let (this, param) = unsafe { (&*layout::param_arg(&*param).cast::<P>(), *param) };
    let mut value = this.load();
    // SAFETY: By the contract of this function; `with` hands over what `GET` reads.
    P::with(&mut value, param, |param| unsafe { P::GET(buffer, param) })
}

/// The types that a parameter can have.
///
/// `SET` and `GET` want `arg` to point to a value of the type.
///
/// # Examples
///
/// ```
/// # use kernel::{fmt::Display, prelude::*};
/// # use kernel_ext::module_param::{ModuleParam, ModuleParamAccess};
/// fn report<T: ModuleParam + Display>(param: &ModuleParamAccess<T>) {
///     pr_info!("it is {}\n", param.value());
/// }
/// ```
pub trait ModuleParam: AtomicType + private::Sealed + 'static {
    /// Flags of `struct kernel_param_ops`.
    #[doc(hidden)]
    const FLAGS: u32;
    #[doc(hidden)]
    const SET: Set;
    #[doc(hidden)]
    const GET: Get;
    #[doc(hidden)]
    fn load(value: &Atomic<Self>) -> Self;
    #[doc(hidden)]
    fn store(value: &Atomic<Self>, new: Self);
}

macro_rules! param_type {
    ($ty:ty, $flags:expr, $set:ident, $get:ident) => {
        impl private::Sealed for $ty {}

        impl ModuleParam for $ty {
            const FLAGS: u32 = $flags;
            const SET: Set = bindings::$set;
            const GET: Get = bindings::$get;

            #[inline]
            fn load(value: &Atomic<Self>) -> Self {
                value.load(Relaxed)
            }

            #[inline]
            fn store(value: &Atomic<Self>, new: Self) {
                value.store(new, Relaxed);
            }
        }
    };
}

param_type!(u32, 0, param_set_uint, param_get_uint);
param_type!(i32, 0, param_set_int, param_get_int);
param_type!(
    bool,
    bindings::KERNEL_PARAM_OPS_FL_NOARG,
    param_set_bool,
    param_get_bool
);

/// A module parameter; made by [`module_param!`](crate::module_param!).
///
/// # Examples
///
/// ```
/// kernel_ext::module_param! {
///     /// How many turns to take.
///     turns: u32 {
///         default: 4,
///         perm: 0o644,
///         description: "Number of turns",
///     }
/// }
///
/// // Root may write it, so that the next read may give another value.
/// for _ in 0..turns.value() {}
/// ```
pub struct ModuleParamAccess<T: ModuleParam> {
    value: Atomic<T>,
    check: fn(T) -> bool,
}

impl<T: ModuleParam> ModuleParamAccess<T> {
    #[doc(hidden)]
    pub const fn new(default: T, check: fn(T) -> bool) -> Self {
        Self {
            value: Atomic::new(default),
            check,
        }
    }

    /// The value as it is now. Where it is writable in sysfs it may change at any time.
    #[inline]
    pub fn value(&self) -> T {
        T::load(&self.value)
    }

    /// What the kernel has of the parameter: its `name`, and what its file in sysfs permits.
    #[doc(hidden)]
    pub const fn descriptor(&'static self, name: &'static CStr, perm: u16) -> KernelParam {
        descriptor(self, name, perm)
    }
}

impl<T: ModuleParam> Parameter for ModuleParamAccess<T> {
    type Value = T;

    const FLAGS: u32 = T::FLAGS;
    const SET: Set = T::SET;
    const GET: Get = T::GET;

    fn load(&self) -> T {
        self.value()
    }

    unsafe fn store(&self, value: T) -> Result {
        if !(self.check)(value) {
            return Err(EINVAL);
        }
        T::store(&self.value, value);
        Ok(())
    }

    fn with(
        value: &mut T,
        mut param: bindings::kernel_param,
        f: impl FnOnce(*const bindings::kernel_param) -> c_int,
    ) -> c_int {
        layout::set_param_arg(&mut param, core::ptr::from_mut(value).cast());
        f(&param)
    }
}

/// The bytes of `text`, for section `.modinfo`; `N` is its length.
#[doc(hidden)]
pub const fn modinfo<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = text.as_bytes()[i];
        i += 1;
    }
    bytes
}

/// Declares parameters of a loadable module, each a static [`ModuleParamAccess`] of its name.
///
/// `perm` is the mode of the file in `/sys/module/MODULE/parameters`. A value that `check`, if
/// there is one, does not hold for is refused with `EINVAL`. The types are [`ModuleParam`]'s.
///
/// # Examples
///
/// ```
/// kernel_ext::module_param! {
///     /// How many turns to take.
///     pub(crate) turns: u32 {
///         default: 4,
///         perm: 0o644,
///         check: |n| n > 0,
///         description: "Number of turns, at least 1",
///     }
/// }
/// ```
///
/// [`ModuleParam`]: crate::module_param::ModuleParam
/// [`ModuleParamAccess`]: crate::module_param::ModuleParamAccess
#[macro_export]
macro_rules! module_param {
    // What modinfo calls the types.
    (@type u32) => { "uint" };
    (@type i32) => { "int" };
    (@type bool) => { "bool" };

    // What modinfo and the kernel are told of the static `$name`, whatever its type.
    (@register $name:ident, $type:expr, $perm:expr, $description:literal) => {
        const _: () = {
            const TYPE: &str = ::core::concat!(
                "parmtype=", ::core::stringify!($name), ":", $type, "\0"
            );
            const DESCRIPTION: &str = ::core::concat!(
                "parm=", ::core::stringify!($name), ":", $description, "\0"
            );

            #[link_section = ".modinfo"]
            #[used(compiler)]
            static MODINFO_TYPE: [u8; TYPE.len()] = $crate::module_param::modinfo(TYPE);
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static MODINFO_DESCRIPTION: [u8; DESCRIPTION.len()] =
                $crate::module_param::modinfo(DESCRIPTION);

            #[link_section = "__param"]
            #[used(compiler)]
            static DESCRIPTOR: $crate::module_param::KernelParam = {
                const NAME: &str = ::core::concat!(::core::stringify!($name), "\0");
                match ::core::ffi::CStr::from_bytes_with_nul(NAME.as_bytes()) {
                    Ok(name) => $name.descriptor(name, $perm),
                    Err(_) => ::core::panic!("a parameter's name has no NUL"),
                }
            };
        };
    };

    ($(
        $(#[$attr:meta])*
        $vis:vis $name:ident: $ty:ident {
            default: $default:expr,
            perm: $perm:expr,
            $(check: $check:expr,)?
            description: $description:literal,
        }
    )*) => {$(
        $(#[$attr])*
        #[allow(non_upper_case_globals)]
        $vis static $name: $crate::module_param::ModuleParamAccess<$ty> = {
            #[allow(unused_variables)]
            let check: fn($ty) -> bool = |_| true;
            $(let check: fn($ty) -> bool = $check;)?
            $crate::module_param::ModuleParamAccess::new($default, check)
        };

        $crate::module_param!(
            @register $name, $crate::module_param!(@type $ty), $perm, $description
        );
    )*};
}
