// SPDX-License-Identifier: GPL-2.0

//! How many entries the I/O queues have.
//!
//! All of a controller's I/O queues have the same number of entries, and keep it: the block layer has a
//! tag for each entry but one, and a submission queue must never be full. So the number is chosen when
//! the first I/O queue is allocated, and what the controller says later can only be refused.

use crate::{
    controller::Nvme,
    quirks,
    spec::registers::CAP, //
};
use kernel::prelude::*;
use kernel_ext::nvme::Controller;

/// Returns the largest number of entries of the I/O queues of a controller with these capabilities. If
/// there are I/O queues, it is theirs. `EINVAL` if they have more than is allowed now.
pub(super) fn largest(ctrl: &Controller<Nvme>, cap: CAP) -> Result<u16> {
    let data = ctrl.data();
    let id = quirks::id(&data.pdev);
    let depth = quirks::io_queue_depth(id, cap, ctrl.quirks(), data.io_queue_depth);
    let allowed = u16::try_from(depth)?;
    match data.queue_pair(1).map(|queue| queue.entries()) {
        Some(entries) if entries > allowed => {
            dev_err!(
                ctrl.device(),
                "CAP.MQES is {} now, too few for the {entries} entries of the I/O queues\n",
                u16::from(cap.mqes())
            );
            Err(EINVAL)
        }
        Some(entries) => Ok(entries),
        None => Ok(allowed),
    }
}
