// SPDX-License-Identifier: GPL-2.0

//! Registers of the Controller Memory Buffer (base specification, sections 3.1.4.11 to 3.1.4.18 and
//! 8.2.1).

use kernel::{
    io::register,
    prelude::*, //
};

register! {
    /// Controller Memory Buffer Location.
    pub(crate) CMBLOC(u32) @ 0x38 {
        /// Offset, in units of `CMBSZ::unit`.
        31:12 ofst;
        /// Base Indicator Register: which BAR the buffer is in.
        2:0 bir;
    }

    /// Controller Memory Buffer Size.
    pub(crate) CMBSZ(u32) @ 0x3c {
        /// Size, in units of `CMBSZ::unit`.
        31:12 sz;
        /// Size Units.
        11:8 szu;
        /// Write Data Support: commands can have data for the controller in the buffer.
        4:4 wds => bool;
        /// Read Data Support: commands can have data from the controller put in the buffer.
        3:3 rds => bool;
        /// Submission Queue Support.
        0:0 sqs => bool;
    }

    /// Controller Memory Buffer Memory Space Control.
    pub(crate) CMBMSC(u64) @ 0x50 {
        /// Controller Base Address: where the buffer begins among the addresses that commands use,
        /// in units of 4 KiB.
        63:12 cba;
        /// Controller Memory Space Enable: commands can use these addresses.
        1:1 cmse => bool;
        /// Capabilities Registers Enabled: CMBLOC and CMBSZ are valid.
        0:0 cre => bool;
    }

    /// Controller Memory Buffer Status.
    pub(crate) CMBSTS(u32) @ 0x58 {
        /// Controller Base Address Invalid.
        0:0 cbai => bool;
    }
}

/// The unit of `CMBMSC::cba`, in bytes.
const CBA_UNIT: u64 = 1 << 12;

impl CMBLOC {
    /// Returns the number of the BAR that the buffer is in.
    pub(crate) fn bar(self) -> u32 {
        self.bir().get()
    }

    /// Returns the offset in the BAR at which the buffer begins, whose Size register is `size`.
    pub(crate) fn offset(self, size: CMBSZ) -> u64 {
        u64::from(self.ofst().get()).saturating_mul(size.unit())
    }
}

impl CMBSZ {
    /// Returns the unit of sizes and offsets, in bytes: 4 KiB, 64 KiB and so on up to 64 GiB; more
    /// for reserved values.
    fn unit(self) -> u64 {
        (1 << 12) << (4 * self.szu().get().min(7))
    }

    /// Returns the size of the buffer, in bytes.
    pub(crate) fn bytes(self) -> u64 {
        u64::from(self.sz().get()).saturating_mul(self.unit())
    }

    /// Returns whether commands can have data in the buffer, in both directions.
    pub(crate) fn is_for_data(self) -> bool {
        self.rds() && self.wds()
    }
}

impl CMBMSC {
    /// Returns the value that makes CMBLOC and CMBSZ valid.
    pub(crate) fn capabilities() -> Self {
        Self::zeroed().with_cre(true)
    }

    /// Returns the value that enables the buffer, which is at `address` on the bus. `EINVAL` unless
    /// that is a multiple of 4 KiB.
    pub(crate) fn enabled_at(address: u64) -> Result<Self> {
        if address % CBA_UNIT != 0 {
            return Err(EINVAL);
        }
        let control = Self::capabilities().with_cmse(true);
        control.try_with_cba(address / CBA_UNIT)
    }
}

#[kunit_tests(nvme_rs_cmb)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        // 16 MiB: 16 units of 1 MiB.
        let size = CMBSZ::from_raw(0x0001_0219);
        assert_eq!(size.bytes(), 16 << 20);
        assert!(size.sqs() && size.is_for_data());
        assert_eq!(CMBSZ::from_raw(0xffff_f000).bytes(), 0xf_ffff << 12);
        assert_eq!(CMBSZ::from_raw(0xffff_f600).bytes(), 0xf_ffff << 36);
        // A reserved unit does not overflow.
        assert_eq!(CMBSZ::from_raw(0xffff_ff00).bytes(), 0xf_ffff << 40);
        assert_eq!(CMBSZ::from_raw(0x0000_0fff).bytes(), 0);
    }

    #[test]
    fn data_goes_both_ways_or_not() {
        assert!(!CMBSZ::from_raw(0x08).is_for_data());
        assert!(!CMBSZ::from_raw(0x10).is_for_data());
        assert!(CMBSZ::from_raw(0x18).is_for_data());
        assert!(!CMBSZ::from_raw(0xffff_ffe7).is_for_data());
        assert!(!CMBSZ::from_raw(0xffff_fffe).sqs());
    }

    #[test]
    fn locations() {
        let location = CMBLOC::from_raw(0x0000_3002);
        assert_eq!(location.bar(), 2);
        assert_eq!(location.offset(CMBSZ::from_raw(0x0000_1000)), 3 << 12);
        assert_eq!(location.offset(CMBSZ::from_raw(0x0000_1200)), 3 << 20);
        assert_eq!(CMBLOC::from_raw(0x0000_0ff8).bar(), 0);
    }

    #[test]
    fn control() {
        assert_eq!(CMBMSC::capabilities().into_raw(), 1);
        let at = CMBMSC::enabled_at(0x12_3456_7000).map(|control| control.into_raw());
        assert_eq!(at, Ok(0x12_3456_7003));
        assert!(CMBMSC::enabled_at(0x12_3456_7800).is_err());
    }
}
