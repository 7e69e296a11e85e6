// SPDX-License-Identifier: GPL-2.0

//! Quirks that devices have on some machines only.

use kernel::{
    prelude::*,
    str::CStr, //
};
use kernel_ext::{
    dmi::Field,
    nvme::Quirks, //
};

const KINGSTON: u16 = 0x2646;
const SAMSUNG: u16 = 0x144d;
const TOSHIBA: u16 = 0x1e0f;

/// Devices that have quirks on some machines.
struct Case {
    /// Vendor and device ids; empty for all devices.
    devices: &'static [(u16, u16)],
    /// The maker of the machine or of its board; `None` for any.
    maker: Option<(Field, &'static CStr)>,
    /// The names of the machines, or of their boards.
    names: (Field, &'static [&'static CStr]),
    quirks: Quirks,
}

/// Only the first case that applies to a device is used.
const CASES: &[Case] = &[
    // These disappear from the bus in the deepest power state.
    Case {
        devices: &[(SAMSUNG, 0xa802)],
        maker: Some((Field::SystemVendor, c"Dell Inc.")),
        names: (Field::ProductName, &[c"XPS 15 9550", c"Precision 5510"]),
        quirks: Quirks::NO_DEEPEST_PS,
    },
    // These disappear from the bus after a sleep, or minutes after boot.
    Case {
        devices: &[(SAMSUNG, 0xa804)],
        maker: Some((Field::BoardVendor, c"ASUSTeK COMPUTER INC.")),
        names: (Field::BoardName, &[c"PRIME B350M-A", c"PRIME Z370-A"]),
        quirks: Quirks::NO_APST,
    },
    // These need less power in a sleep if they are shut down.
    Case {
        devices: &[
            (SAMSUNG, 0xa801),
            (SAMSUNG, 0xa808),
            (SAMSUNG, 0xa809),
            (TOSHIBA, 0x0001),
        ],
        maker: Some((Field::BoardVendor, c"LENOVO")),
        names: (Field::BoardName, &[c"LNVNB161216"]),
        quirks: Quirks::SIMPLE_SUSPEND,
    },
    // These, and those of the next case, need less power in a sleep if they are not put in D3.
    Case {
        devices: &[(KINGSTON, 0x2263), (KINGSTON, 0x500f)],
        maker: None,
        names: (
            Field::BoardName,
            &[
                c"NS5X_NS7XAU",
                c"NS5x_7xAU",
                c"NS5x_7xPU",
                c"PH4PRX1_PH6PRX1",
            ],
        ),
        quirks: Quirks::FORCE_NO_SIMPLE_SUSPEND,
    },
    Case {
        devices: &[(SAMSUNG, 0xa80d)],
        maker: None,
        names: (
            Field::BoardName,
            &[
                c"DN50Z-140HC-YD",
                c"GMxPXxx",
                c"GXxMRXx",
                c"NS5X_NS7XAU",
                c"PH4PG31",
                c"PH4PRX1_PH6PRX1",
                c"PH6PG01_PH6PG71",
            ],
        ),
        quirks: Quirks::FORCE_NO_SIMPLE_SUSPEND,
    },
    // On this board, devices disappear from the bus after hours without use.
    Case {
        devices: &[],
        maker: None,
        names: (Field::BoardName, &[c"LXKT-ZXEG-N6"]),
        quirks: Quirks::NO_APST,
    },
];

impl Case {
    fn is(&self, id: (u16, u16), matches: impl Fn(Field, &CStr) -> bool) -> bool {
        let (field, names) = self.names;
        (self.devices.is_empty() || self.devices.contains(&id))
            && self
                .maker
                .is_none_or(|(field, maker)| matches(field, maker))
            && names.iter().any(|name| matches(field, name))
    }
}

/// Returns the quirks of the device with vendor and device `id`. `matches` returns whether a field that
/// describes the machine has a value.
pub(super) fn quirks(id: (u16, u16), matches: impl Fn(Field, &CStr) -> bool) -> Quirks {
    CASES
        .iter()
        .find(|case| case.is(id, &matches))
        .map_or(Quirks::NONE, |case| case.quirks)
}

#[kunit_tests(nvme_rs_boards)]
mod tests {
    use super::*;

    /// Returns the quirks of a device on a machine whose fields have the values in `machine`.
    fn on(machine: &[(Field, &CStr)], id: (u16, u16)) -> Quirks {
        quirks(id, |field, value| machine.contains(&(field, value)))
    }

    #[test]
    fn maker_and_name_must_match() {
        let dell = (Field::SystemVendor, c"Dell Inc.");
        let xps = (Field::ProductName, c"XPS 15 9550");
        let id = (SAMSUNG, 0xa802);
        assert_eq!(on(&[dell, xps], id), Quirks::NO_DEEPEST_PS);
        assert_eq!(on(&[xps], id), Quirks::NONE);
        assert_eq!(on(&[dell], id), Quirks::NONE);
        assert_eq!(
            on(&[(Field::BoardVendor, c"Dell Inc."), xps], id),
            Quirks::NONE
        );
        assert_eq!(on(&[dell, xps], (SAMSUNG, 0xa803)), Quirks::NONE);
        assert_eq!(on(&[dell, xps], (KINGSTON, 0xa802)), Quirks::NONE);
    }

    #[test]
    fn any_of_the_names_will_do() {
        for board in [c"NS5X_NS7XAU", c"NS5x_7xAU", c"PH4PRX1_PH6PRX1"] {
            let machine = [(Field::BoardName, board)];
            let found = on(&machine, (KINGSTON, 0x500f));
            assert_eq!(found, Quirks::FORCE_NO_SIMPLE_SUSPEND);
        }
        let machine = [(Field::BoardName, c"NS5X")];
        assert_eq!(on(&machine, (KINGSTON, 0x500f)), Quirks::NONE);
    }

    #[test]
    fn a_board_for_all_devices() {
        let machine = [(Field::BoardName, c"LXKT-ZXEG-N6")];
        assert_eq!(on(&machine, (0x1b36, 0x0010)), Quirks::NO_APST);
        assert_eq!(on(&machine, (SAMSUNG, 0xa80d)), Quirks::NO_APST);
        assert_eq!(on(&[], (0x1b36, 0x0010)), Quirks::NONE);
    }
}
