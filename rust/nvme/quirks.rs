// SPDX-License-Identifier: GPL-2.0

//! Where controllers are not as the specification has them (`enum nvme_quirks`).

use crate::bindings;
use core::ops::{
    BitOr,
    BitOrAssign, //
};
use kernel::{
    prelude::*,
    str::CStr, //
};

/// A set of quirks.
///
/// # Examples
///
/// ```
/// # use kernel_ext::nvme::Quirks;
/// const QUIRKS: Quirks = Quirks::NO_APST.or(Quirks::QDEPTH_ONE);
///
/// assert!(QUIRKS.contains(Quirks::NO_APST));
/// assert!(!QUIRKS.without(Quirks::NO_APST).contains(Quirks::NO_APST));
/// assert_eq!(Quirks::named(b"no_apst"), Some(Quirks::NO_APST));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks(c_ulong);

macro_rules! quirks {
    ($($(#[$attr:meta])* $name:ident = $raw:ident,)*) => {
        impl Quirks {
            $($(#[$attr])* pub const $name: Self = Self(bindings::$raw as c_ulong);)*
        }
    };
}

quirks! {
    /// Prefers I/O that does not cross boundaries of a vendor specific size.
    STRIPE_SIZE = nvme_quirks_NVME_QUIRK_STRIPE_SIZE,
    /// Knows Identify with CNS 0 and 1 only.
    IDENTIFY_CNS = nvme_quirks_NVME_QUIRK_IDENTIFY_CNS,
    /// What was deallocated reads as zeroes.
    DEALLOCATE_ZEROES = nvme_quirks_NVME_QUIRK_DEALLOCATE_ZEROES,
    /// CSTS must not be read too soon after CC was written.
    DELAY_BEFORE_CHK_RDY = nvme_quirks_NVME_QUIRK_DELAY_BEFORE_CHK_RDY,
    /// Does not survive Autonomous Power State Transitions.
    NO_APST = nvme_quirks_NVME_QUIRK_NO_APST,
    /// Does not survive its deepest power state.
    NO_DEEPEST_PS = nvme_quirks_NVME_QUIRK_NO_DEEPEST_PS,
    /// Cannot have two I/O commands in a queue.
    QDEPTH_ONE = nvme_quirks_NVME_QUIRK_QDEPTH_ONE,
    /// Wants submission queues of medium priority.
    MEDIUM_PRIO_SQ = nvme_quirks_NVME_QUIRK_MEDIUM_PRIO_SQ,
    /// SUBNQN is not unique.
    IGNORE_DEV_SUBNQN = nvme_quirks_NVME_QUIRK_IGNORE_DEV_SUBNQN,
    /// Write Zeroes does not work.
    DISABLE_WRITE_ZEROES = nvme_quirks_NVME_QUIRK_DISABLE_WRITE_ZEROES,
    /// Must be shut down when the system sleeps.
    SIMPLE_SUSPEND = nvme_quirks_NVME_QUIRK_SIMPLE_SUSPEND,
    /// All queues share the first interrupt vector.
    SINGLE_VECTOR = nvme_quirks_NVME_QUIRK_SINGLE_VECTOR,
    /// Entries of I/O submission queues are 128 bytes apart.
    SQES_128_BYTES = nvme_quirks_NVME_QUIRK_128_BYTES_SQES,
    /// A tag must not be in use in the admin queue and in the I/O queue at once.
    SHARED_TAGS = nvme_quirks_NVME_QUIRK_SHARED_TAGS,
    /// The temperature threshold must not be written.
    NO_TEMP_THRESH_CHANGE = nvme_quirks_NVME_QUIRK_NO_TEMP_THRESH_CHANGE,
    /// Has no list of namespace identification descriptors, whatever its version.
    NO_NS_DESC_LIST = nvme_quirks_NVME_QUIRK_NO_NS_DESC_LIST,
    /// Reaches addresses of 48 bits only.
    DMA_ADDRESS_BITS_48 = nvme_quirks_NVME_QUIRK_DMA_ADDRESS_BITS_48,
    /// Command identifiers are tags, without a generation.
    SKIP_CID_GEN = nvme_quirks_NVME_QUIRK_SKIP_CID_GEN,
    /// Identifiers of namespaces are not unique.
    BOGUS_NID = nvme_quirks_NVME_QUIRK_BOGUS_NID,
    /// Has a threshold for the composite temperature only.
    NO_SECONDARY_TEMP_THRESH = nvme_quirks_NVME_QUIRK_NO_SECONDARY_TEMP_THRESH,
    /// Need not be shut down when the system sleeps, whatever the firmware says.
    FORCE_NO_SIMPLE_SUSPEND = nvme_quirks_NVME_QUIRK_FORCE_NO_SIMPLE_SUSPEND,
    /// MSI does not work; MSI-X does.
    BROKEN_MSI = nvme_quirks_NVME_QUIRK_BROKEN_MSI,
    /// Small lists must be aligned to 512 bytes.
    DMAPOOL_ALIGN_512 = nvme_quirks_NVME_QUIRK_DMAPOOL_ALIGN_512,
    /// Data of admin commands must begin a page.
    ADMIN_PAGE_ALIGN = nvme_quirks_NVME_QUIRK_ADMIN_PAGE_ALIGN,
}

impl Quirks {
    /// None.
    pub const NONE: Self = Self(0);

    pub(super) fn from_raw(raw: c_ulong) -> Self {
        Self(raw)
    }

    pub(super) fn to_raw(self) -> c_ulong {
        self.0
    }

    /// Those of `self` and of `other`.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of `self` but for those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are among them.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The quirk that nvme-core calls `name`, in sysfs and in the parameter of its own transport.
    pub fn named(name: &[u8]) -> Option<Self> {
        (0..u32::BITS)
            .map(|bit| 1 << bit)
            .map(|raw| (raw, Self::name(raw)))
            .take_while(|&(_, known)| known != c"unknown")
            .find(|(_, known)| known.to_bytes() == name)
            .map(|(raw, _)| Self(raw as c_ulong))
    }

    fn name(raw: u32) -> &'static CStr {
        // SAFETY: The function returns string literals, for any value.
        unsafe { CStr::from_char_ptr(bindings::ext_nvme_quirk_name(raw)) }
    }
}

impl BitOr for Quirks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl BitOrAssign for Quirks {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.or(other);
    }
}

#[kunit_tests(kernel_ext_nvme_quirks)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_nvme_core() {
        assert_eq!(Quirks::named(b"stripe_size"), Some(Quirks::STRIPE_SIZE));
        assert_eq!(
            Quirks::named(b"128_bytes_sqes"),
            Some(Quirks::SQES_128_BYTES)
        );
        assert_eq!(
            Quirks::named(b"admin_page_align"),
            Some(Quirks::ADMIN_PAGE_ALIGN)
        );
    }

    #[test]
    fn other_names_are_none() {
        for name in [
            &b""[..],
            b"unknown",
            b"stripe",
            b"stripe_size_",
            b"STRIPE_SIZE",
        ] {
            assert!(Quirks::named(name).is_none());
        }
    }

    #[test]
    fn sets() {
        let two = Quirks::NO_APST | Quirks::BOGUS_NID;
        assert!(two.contains(Quirks::NO_APST) && two.contains(two));
        assert!(!two.contains(Quirks::NO_APST | Quirks::BROKEN_MSI));
        assert!(two.contains(Quirks::NONE));
        assert_eq!(
            two.without(Quirks::NO_APST | Quirks::BROKEN_MSI),
            Quirks::BOGUS_NID
        );
        let mut all = Quirks::NONE;
        all |= two;
        assert_eq!(all, two);
    }
}
