// SPDX-License-Identifier: GPL-2.0

//! Requests are cancelled only with the proof that the device cannot write to their memory.
// error: E0061

use kernel_ext::nvme::{
    Controller,
    Transport, //
};

pub fn cancel<T: Transport>(ctrl: &Controller<T>) {
    let _ = ctrl.cancel_all();
}
