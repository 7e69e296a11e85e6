// SPDX-License-Identifier: GPL-2.0

//! Folders of attributes in sysfs.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use crate::{
    bindings,
    layout, //
};
use core::{
    marker::PhantomData,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::{
        from_result,
        to_result, //
    },
    fmt::{
        self,
        Write, //
    },
    page::PAGE_SIZE,
    prelude::*,
    types::Opaque, //
};

/// What is behind the attributes of a [`Folder`]. Reads and writes may come at the same time from
/// several threads, hence `Sync`.
///
/// # Examples
///
/// ```
/// # use kernel::{fmt::Write, prelude::*, sync::atomic::{Atomic, Relaxed}};
/// # use kernel_ext::sysfs::{Attribute, Attributes};
/// struct Limits {
///     most: Atomic<u32>,
/// }
///
/// impl Attributes for Limits {
///     const LIST: &'static [Attribute<Self>] = &[Attribute::writable(
///         c"most",
///         |limits, output| Ok(writeln!(output, "{}", limits.most.load(Relaxed))?),
///         |limits, text| {
///             limits.most.store(text.parse().map_err(|_| EINVAL)?, Relaxed);
///             Ok(())
///         },
///     )];
/// }
/// ```
pub trait Attributes: Send + Sync + 'static {
    /// The attributes.
    const LIST: &'static [Attribute<Self>];
}

/// A file in a [`Folder`] of `T`: a name, and what happens when it is read or written.
///
/// # Examples
///
/// ```
/// # use kernel::{fmt::Write, prelude::*};
/// # use kernel_ext::sysfs::Attribute;
/// struct Version(u32);
///
/// const VERSION: Attribute<Version> =
///     Attribute::read_only(c"version", |version, output| Ok(writeln!(output, "{}", version.0)?));
/// ```
#[repr(C)]
pub struct Attribute<T: ?Sized> {
    raw: bindings::attribute,
    access: Access<T>,
}

/// Prints an attribute. The output ends with a newline, as is the habit.
pub type Show<T> = fn(&T, &mut Output<'_>) -> Result;

/// Takes what was written to an attribute, without white space around it.
pub type Store<T> = fn(&T, &str) -> Result;

impl<T> Attribute<T> {
    /// An attribute that anybody can read (mode 0444).
    pub const fn read_only(name: &'static CStr, show: Show<T>) -> Self {
        Self::new(name, Access::read_only(show))
    }

    /// An attribute that anybody can read and root can write (mode 0644).
    pub const fn writable(name: &'static CStr, show: Show<T>, store: Store<T>) -> Self {
        Self::new(name, Access::writable(show, store))
    }

    const fn new(name: &'static CStr, access: Access<T>) -> Self {
        Self {
            raw: access.attribute(name),
            access,
        }
    }
}

/// What happens when an attribute of a `T` is read or written; whatever kind of attribute it is.
pub(crate) struct Access<T: ?Sized> {
    show: Show<T>,
    store: Option<Store<T>>,
}

impl<T: ?Sized> Access<T> {
    /// It can be read.
    pub(crate) const fn read_only(show: Show<T>) -> Self {
        Self { show, store: None }
    }

    /// It can be read and written.
    pub(crate) const fn writable(show: Show<T>, store: Store<T>) -> Self {
        Self {
            show,
            store: Some(store),
        }
    }

    /// What sysfs is told of it: anybody can read it, and root can write it if that is possible.
    pub(crate) const fn attribute(&self, name: &'static CStr) -> bindings::attribute {
        let mut raw: bindings::attribute = pin_init::zeroed();
        raw.name = name.to_bytes_with_nul().as_ptr();
        raw.mode = if self.store.is_some() { 0o644 } else { 0o444 };
        raw
    }

    /// Prints it for `data` to `page`. Returns how many bytes that are, or an errno.
    ///
    /// # Safety
    ///
    /// `page` is a zeroed page that nobody else uses during the call.
    pub(crate) unsafe fn show(&self, data: &T, page: *mut c_char) -> isize {
        // SAFETY: By the contract of this function.
        let mut output = unsafe { Output::new(page) };
        from_result(|| {
            (self.show)(data, &mut output)?;
            Ok(isize::try_from(output.len)?)
        })
    }

    /// Hands `data` the `len` bytes that were written. Returns `len`, or an errno: `EINVAL` unless
    /// they are UTF-8, `EIO` if the attribute cannot be written.
    ///
    /// # Safety
    ///
    /// There are `len` bytes at `bytes`, which nobody changes during the call.
    pub(crate) unsafe fn store(&self, data: &T, bytes: *const c_char, len: usize) -> isize {
        // SAFETY: By the contract of this function.
        let bytes = unsafe { core::slice::from_raw_parts(bytes.cast::<u8>(), len) };
        from_result(|| {
            let store = self.store.ok_or(EIO)?;
            let text = core::str::from_utf8(bytes).map_err(|_| EINVAL)?;
            store(data, text.trim())?;
            Ok(isize::try_from(len)?)
        })
    }
}

/// Where an attribute prints to: one page.
pub struct Output<'a> {
    /// The page; one byte of it is kept for a NUL.
    page: &'a mut [u8],
    len: usize,
}

impl Output<'_> {
    /// # Safety
    ///
    /// `page` is a zeroed page that only the value writes to.
    unsafe fn new(page: *mut c_char) -> Self {
        // SAFETY: By the contract of this function.
        let page = unsafe { core::slice::from_raw_parts_mut(page.cast::<u8>(), PAGE_SIZE - 1) };
        Self { page, len: 0 }
    }
}

impl Write for Output<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len.checked_add(s.len()).ok_or(fmt::Error)?;
        let free = self.page.get_mut(self.len..end).ok_or(fmt::Error)?;
        free.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// The kobject of a folder and the data behind its attributes.
#[pin_data]
#[repr(C)]
struct Inner<T> {
    #[pin]
    kobj: Opaque<bindings::kobject>,
    data: T,
}

/// A folder in sysfs. It is there until the value is dropped, which waits for reads and writes
/// that are under way: not to be dropped by an attribute of its own.
///
/// # Examples
///
/// ```
/// # use kernel::{device::{Bound, Device}, fmt::Write, prelude::*};
/// # use kernel_ext::sysfs::{Attribute, Attributes, Folder};
/// struct Version(u32);
///
/// impl Attributes for Version {
///     const LIST: &'static [Attribute<Self>] = &[Attribute::read_only(
///         c"version",
///         |version, output| Ok(writeln!(output, "{}", version.0)?),
///     )];
/// }
///
/// /// Makes `sample/version`, for the driver data to hold: it goes when the device is unbound.
/// fn probe(dev: &Device<Bound>) -> Result<Folder<Version>> {
///     Folder::new(dev, c"sample", Version(1))
/// }
/// ```
///
/// # Invariants
///
/// `inner` points to an `Inner<T>` whose kobject was added to sysfs, and has a reference that is
/// ours.
pub struct Folder<T: Attributes> {
    inner: NonNull<Inner<T>>,
    _t: PhantomData<T>,
}

// SAFETY: A kobject can be used from any thread, and so can `T`.
unsafe impl<T: Attributes> Send for Folder<T> {}
// SAFETY: As above.
unsafe impl<T: Attributes> Sync for Folder<T> {}

/// What a [`Folder`] can be in. Only this module implements it.
///
/// # Examples
///
/// ```
/// # use kernel::{device::{Bound, Device}, prelude::*};
/// # use kernel_ext::sysfs::{Attribute, Attributes, Folder};
/// struct Empty;
///
/// impl Attributes for Empty {
///     const LIST: &'static [Attribute<Self>] = &[];
/// }
///
/// /// Makes a folder, and one within it. The inner one is to be dropped first.
/// fn probe(dev: &Device<Bound>) -> Result<(Folder<Empty>, Folder<Empty>)> {
///     let outer = Folder::new(dev, c"outer", Empty)?;
///     let inner = Folder::new(&outer, c"inner", Empty)?;
///     Ok((inner, outer))
/// }
/// ```
pub trait Parent: private::Kobject {}

mod private {
    /// Something with a kobject.
    pub trait Kobject {
        /// The kobject: valid, and in sysfs or already gone from it, as long as `self` lives.
        fn kobject(&self) -> *mut crate::bindings::kobject;
    }
}

impl private::Kobject for Device<Bound> {
    fn kobject(&self) -> *mut bindings::kobject {
        let dev = layout::device(self);
        // SAFETY: `dev` is valid.
        unsafe { &raw mut (*dev).kobj }
    }
}

impl Parent for Device<Bound> {}

impl<T: Attributes> private::Kobject for Folder<T> {
    fn kobject(&self) -> *mut bindings::kobject {
        // SAFETY: By the type invariant.
        unsafe { self.inner.as_ref() }.kobj.get()
    }
}

impl<T: Attributes> Parent for Folder<T> {}

impl<T: Attributes> Folder<T> {
    const OPS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(show_callback::<T>),
        store: Some(store_callback::<T>),
    };

    const KIND: bindings::kobj_type = bindings::kobj_type {
        release: Some(release_callback::<T>),
        sysfs_ops: &Self::OPS,
        ..pin_init::zeroed()
    };

    /// Makes folder `name` in that of `parent`, and the attributes in it. `EEXIST` if there is
    /// one of that name, `ENOMEM` without memory, `EINVAL` without a name.
    pub fn new(parent: &impl Parent, name: &CStr, data: T) -> Result<Self> {
        if name.is_empty() {
            return Err(EINVAL);
        }
        let inner = KBox::pin_init(
            pin_init!(Inner {
                kobj: Opaque::zeroed(),
                data,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The value stays where it is until `release_callback` frees it.
        let inner = KBox::into_raw(unsafe { Pin::into_inner_unchecked(inner) });
        // SAFETY: The kobject is zeroed, as it must be; its type is static and made for
        // `Inner<T>`; the parent is valid. On failure too, only the last reference frees it.
        let added = to_result(unsafe {
            bindings::kobject_init_and_add(
                (*inner).kobj.get(),
                &Self::KIND,
                parent.kobject(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        });
        // SAFETY: A box is never null.
        let inner = unsafe { NonNull::new_unchecked(inner) };
        // INVARIANT: The kobject is added; if it could not be, having a name, dropping the value
        // does the same as for one that was. The reference is the one that it was initialised with.
        let this = Self {
            inner,
            _t: PhantomData,
        };
        added?;
        for attribute in T::LIST {
            // SAFETY: The kobject is in sysfs, and the attribute is static.
            to_result(unsafe {
                bindings::sysfs_create_file_ns(
                    private::Kobject::kobject(&this),
                    &attribute.raw,
                    core::ptr::null(),
                )
            })?;
        }
        Ok(this)
    }
}

impl<T: Attributes> Drop for Folder<T> {
    fn drop(&mut self) {
        let kobj = private::Kobject::kobject(self);
        // SAFETY: By the type invariant. Attributes are not called any more once `kobject_del`
        // returns.
        unsafe {
            bindings::kobject_del(kobj);
            bindings::kobject_put(kobj);
        }
    }
}

/// # Safety
///
/// `kobj` is of an `Inner<T>` that lives during `'a`.
unsafe fn data<'a, T>(kobj: *mut bindings::kobject) -> &'a T {
    // SAFETY: By the contract of this function; `kobj` is in field `kobj`.
    unsafe { &(*kobj.byte_sub(offset_of!(Inner<T>, kobj)).cast::<Inner<T>>()).data }
}

/// # Safety
///
/// Only called by sysfs, for an attribute of a [`Folder<T>`], with a page to print to.
unsafe extern "C" fn show_callback<T: Attributes>(
    kobj: *mut bindings::kobject,
    attr: *mut bindings::attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: By the contract of this function. `attr` is the first field of an entry of
    // `T::LIST`, as a folder has no other files; sysfs keeps the kobject during the call, and
    // hands over a whole page, which is zeroed.
    unsafe {
        let attribute = &*attr.cast_const().cast::<Attribute<T>>();
        attribute.access.show(data::<T>(kobj), buf)
    }
}

/// # Safety
///
/// Only called by sysfs, for an attribute of a [`Folder<T>`], with `len` bytes that were written.
unsafe extern "C" fn store_callback<T: Attributes>(
    kobj: *mut bindings::kobject,
    attr: *mut bindings::attribute,
    buf: *const c_char,
    len: usize,
) -> isize {
    // SAFETY: As for `show_callback`; `buf` holds what was written.
    unsafe {
        let attribute = &*attr.cast_const().cast::<Attribute<T>>();
        attribute.access.store(data::<T>(kobj), buf, len)
    }
}

/// # Safety
///
/// Only called when the last reference to the kobject of a [`Folder<T>`] is gone.
unsafe extern "C" fn release_callback<T: Attributes>(kobj: *mut bindings::kobject) {
    // SAFETY: By the contract of this function; `Folder::new` made the box.
    unsafe {
        let inner = kobj.byte_sub(offset_of!(Inner<T>, kobj)).cast::<Inner<T>>();
        drop(KBox::from_raw(inner));
    }
}
