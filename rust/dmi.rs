// SPDX-License-Identifier: GPL-2.0

//! The names that the firmware has for the machine (System Management BIOS).
//!
//! For quirks of machines. They are read in any context, as they do not change after boot.
//!
//! C header: [`include/linux/dmi.h`](srctree/include/linux/dmi.h)

use crate::bindings;
use kernel::{
    prelude::*,
    str::CStr, //
};

/// A string that the firmware has about the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The maker of the machine.
    SystemVendor,
    /// The name of the machine.
    ProductName,
    /// The maker of its mainboard.
    BoardVendor,
    /// The name of its mainboard.
    BoardName,
}

/// Returns whether `field` is exactly `value`; `false` if the firmware does not have the field.
///
/// # Examples
///
/// ```
/// # use kernel_ext::dmi::{matches, Field};
/// /// Returns whether the device must be stopped when this machine sleeps.
/// fn needs_full_stop() -> bool {
///     matches(Field::BoardVendor, c"Example Corp.") && matches(Field::BoardName, c"EX-100")
/// }
/// ```
pub fn matches(field: Field, value: &CStr) -> bool {
    let field = match field {
        Field::SystemVendor => bindings::dmi_field_DMI_SYS_VENDOR,
        Field::ProductName => bindings::dmi_field_DMI_PRODUCT_NAME,
        Field::BoardVendor => bindings::dmi_field_DMI_BOARD_VENDOR,
        Field::BoardName => bindings::dmi_field_DMI_BOARD_NAME,
    };
    // SAFETY: The string is only read during the call; what it is compared with does not change
    // after boot.
    unsafe { bindings::ext_dmi_match(field, value.as_char_ptr()) }
}
