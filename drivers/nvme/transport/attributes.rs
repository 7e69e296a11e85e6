// SPDX-License-Identifier: GPL-2.0

//! What a controller shows in sysfs beside nvme-core's attributes; that of the kernel's own driver.

use crate::{
    control::hmb,
    controller::Nvme,
    memory::cmb::Cmb, //
};
use kernel::{
    fmt::Write,
    prelude::*,
    str::{
        kstrtobool,
        CString, //
    },
};
use kernel_ext::nvme::{
    Attribute,
    Controller, //
};

/// All of them.
pub(super) const ALL: &[Attribute<Nvme>] = &[CMB, CMBLOC, CMBSZ, HMB];

fn cmb(ctrl: &Controller<Nvme>) -> Result<&Cmb> {
    ctrl.data().cmb.as_ref().ok_or(ENODEV)
}

fn has_cmb(ctrl: &Controller<Nvme>) -> bool {
    ctrl.data().cmb.is_some()
}

/// Both registers, for people.
const CMB: Attribute<Nvme> = Attribute::read_only(c"cmb", has_cmb, |ctrl, f| {
    let cmb = cmb(ctrl)?;
    let (location, size) = (cmb.location().into_raw(), cmb.size().into_raw());
    write!(f, "cmbloc : {location:#010x}\ncmbsz  : {size:#010x}\n")?;
    Ok(())
});

/// Controller Memory Buffer Location.
const CMBLOC: Attribute<Nvme> = Attribute::read_only(c"cmbloc", has_cmb, |ctrl, f| {
    writeln!(f, "{}", cmb(ctrl)?.location().into_raw())?;
    Ok(())
});

/// Controller Memory Buffer Size.
const CMBSZ: Attribute<Nvme> = Attribute::read_only(c"cmbsz", has_cmb, |ctrl, f| {
    writeln!(f, "{}", cmb(ctrl)?.size().into_raw())?;
    Ok(())
});

/// Whether the controller has its Host Memory Buffer. 0 takes it away, and 1 gives it back; `EBUSY`
/// while the controller is not live.
const HMB: Attribute<Nvme> = Attribute::writable(
    c"hmb",
    |ctrl| ctrl.host_memory().hmpre != 0,
    |ctrl, f| {
        writeln!(f, "{}", u8::from(ctrl.data().hmb.is_on()))?;
        Ok(())
    },
    |ctrl, text| {
        let want = kstrtobool(&CString::try_from_fmt(fmt!("{text}"))?)?;
        hmb::switch(ctrl, want)
    },
);
