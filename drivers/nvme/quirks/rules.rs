// SPDX-License-Identifier: GPL-2.0

//! The parameter `quirks`: `VID:DID:name,^name-VID:DID:name`, with ids in hexadecimal and nvme-core's
//! names of quirks; `^` disables a quirk.

use kernel::prelude::*;
use kernel_ext::nvme::Quirks;

/// The quirks to enable and to disable for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// Vendor and device id.
    id: (u16, u16),
    enable: Quirks,
    disable: Quirks,
}

impl Rule {
    /// Parses one rule; `EINVAL` if it is none. Names end at the first empty one.
    fn parse(text: &[u8]) -> Result<Self> {
        let mut fields = text.split(|&byte| byte == b':');
        let mut next = || fields.next().ok_or(EINVAL);
        let mut rule = Self {
            id: (number(next()?)?, number(next()?)?),
            enable: Quirks::NONE,
            disable: Quirks::NONE,
        };
        let names = next()?.split(|&byte| byte == b',');
        for name in names.take_while(|name| !name.is_empty()) {
            match name.strip_prefix(b"^") {
                Some(name) => rule.disable |= Quirks::named(name).ok_or(EINVAL)?,
                None => rule.enable |= Quirks::named(name).ok_or(EINVAL)?,
            }
        }
        Ok(rule)
    }
}

fn number(text: &[u8]) -> Result<u16> {
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    u16::from_str_radix(digits, 16).map_err(|_| EINVAL)
}

/// Returns the rules in `text`, which may be empty.
fn rules(text: &[u8]) -> impl Iterator<Item = Result<Rule>> + '_ {
    text.split(|&byte| byte == b'-')
        .filter(move |_| !text.is_empty())
        .map(Rule::parse)
}

/// Returns whether `text` consists of valid rules.
pub(crate) fn are_valid(text: &[u8]) -> bool {
    rules(text).all(|rule| rule.is_ok())
}

/// Applies the first rule in `text` for the device with vendor and device `id` to its `quirks`. Returns
/// the result.
pub(super) fn apply(text: &[u8], id: (u16, u16), quirks: Quirks) -> Quirks {
    rules(text)
        .flatten()
        .find(|rule| rule.id == id)
        .map_or(quirks, |rule| quirks.or(rule.enable).without(rule.disable))
}

#[kunit_tests(nvme_rs_quirk_rules)]
mod tests {
    use super::*;

    const QEMU: (u16, u16) = (0x1b36, 0x0010);

    #[test]
    fn first_rule_of_the_device_counts() {
        let text = b"1234:5678:no_apst-1b36:0010:qdepth_one,broken_msi-1B36:10:bogus_nid";
        assert!(are_valid(text));
        let both = Quirks::QDEPTH_ONE | Quirks::BROKEN_MSI;
        assert_eq!(apply(text, QEMU, Quirks::NONE), both);
        let other = apply(text, (0x1234, 0x5678), Quirks::STRIPE_SIZE);
        assert_eq!(other, Quirks::NO_APST | Quirks::STRIPE_SIZE);
        assert_eq!(apply(text, (0x1b36, 0x11), both), both);
    }

    #[test]
    fn quirks_can_be_disabled() {
        let text = b"0x1b36:0x0010:^bogus_nid,no_apst,^no_apst";
        let quirks = Quirks::BOGUS_NID | Quirks::STRIPE_SIZE;
        assert_eq!(apply(text, QEMU, quirks), Quirks::STRIPE_SIZE);
    }

    #[test]
    fn nothing_is_no_rule() {
        assert!(are_valid(b""));
        assert_eq!(apply(b"", QEMU, Quirks::BOGUS_NID), Quirks::BOGUS_NID);
        assert!(are_valid(b"1b36:0010:"));
        assert_eq!(apply(b"1b36:0010:", QEMU, Quirks::NO_APST), Quirks::NO_APST);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            &b"-"[..],
            b"1b36",
            b"1b36:0010",
            b"1b36:0010:nonsense",
            b"1b36:0010:no_apst;bogus_nid",
            b"1b36:0010:^",
            b"1b36:0010:^^no_apst",
            b"11b36:0010:no_apst",
            b"1b3g:0010:no_apst",
            b":0010:no_apst",
            b"1b36:0010:no_apst-",
        ] {
            assert!(!are_valid(text));
        }
    }
}
