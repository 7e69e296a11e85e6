// SPDX-License-Identifier: GPL-2.0

//! The command of a started request goes to a queue once.
// error: E0382

use kernel_ext::nvme::{
    Accepted,
    Started,
    Transport, //
};

pub fn twice<'rq, T: Transport>(started: Started<'rq, T>) -> [Accepted<'rq>; 2] {
    [started.send(|_| ()), started.send(|_| ())]
}
