// SPDX-License-Identifier: GPL-2.0

//! A request has one answer: who has started it cannot let it fail.
// error: E0382

use kernel_ext::nvme::{
    Accepted,
    Refused,
    Request,
    Transport, //
};

pub fn start_and_fail<'rq, T: Transport>(
    request: Request<'rq, T>,
) -> Result<Accepted<'rq>, Refused<'rq>> {
    let _started = request.setup()?.start();
    request.fail_not_ready()
}
