// SPDX-License-Identifier: GPL-2.0

//! The attributes of a controller in sysfs beside nvme-core's, which are those of the in-tree driver.
//!
//! Reads wait for nothing. A write to `hmb` sends an admin command, with `Hmb::changing` held.

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

/// All attributes.
pub(super) const ALL: &[Attribute<Nvme>] = &[ATTR_CMB, ATTR_CMBLOC, ATTR_CMBSZ, ATTR_HMB];

fn cmb(ctrl: &Controller<Nvme>) -> Result<&Cmb> {
    ctrl.data().cmb.as_ref().ok_or(ENODEV)
}

fn has_cmb(ctrl: &Controller<Nvme>) -> bool {
    ctrl.data().cmb.is_some()
}

/// Both registers of the Controller Memory Buffer, in hexadecimal.
const ATTR_CMB: Attribute<Nvme> = Attribute::read_only(c"cmb", has_cmb, |ctrl, f| {
    let cmb = cmb(ctrl)?;
    let (location, size) = (cmb.location().into_raw(), cmb.size().into_raw());
    write!(f, "cmbloc : {location:#010x}\ncmbsz  : {size:#010x}\n")?;
    Ok(())
});

/// Controller Memory Buffer Location.
const ATTR_CMBLOC: Attribute<Nvme> = Attribute::read_only(c"cmbloc", has_cmb, |ctrl, f| {
    writeln!(f, "{}", cmb(ctrl)?.location().into_raw())?;
    Ok(())
});

/// Controller Memory Buffer Size.
const ATTR_CMBSZ: Attribute<Nvme> = Attribute::read_only(c"cmbsz", has_cmb, |ctrl, f| {
    writeln!(f, "{}", cmb(ctrl)?.size().into_raw())?;
    Ok(())
});

/// Whether the controller has its Host Memory Buffer. Writing 0 takes it back, and 1 gives it to the
/// controller; `EBUSY` while the controller is not live.
const ATTR_HMB: Attribute<Nvme> = Attribute::writable(
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
