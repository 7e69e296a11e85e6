// SPDX-License-Identifier: GPL-2.0

//! What the firmware says of the machine (System Management BIOS).
//!
//! C header: [`include/linux/dmi.h`](srctree/include/linux/dmi.h)

use crate::bindings;
use kernel::{
    prelude::*,
    str::CStr, //
};

/// What of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Who made it.
    SystemVendor,
    /// What it is called.
    ProductName,
    /// Who made its mainboard.
    BoardVendor,
    /// What its mainboard is called.
    BoardName,
}

/// Whether `field` is exactly `value`; `false` if the firmware says nothing.
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
