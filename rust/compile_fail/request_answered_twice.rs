// SPDX-License-Identifier: GPL-2.0

//! A request has one answer: who has started it cannot let it fail.
// error: E0382

use kernel_ext::{
    block::mq::Status,
    nvme::{
        Request,
        Transport, //
    },
};

pub fn start_and_fail<T: Transport>(request: Request<'_, T>) -> Result<(), Status> {
    let _started = request.setup()?.start();
    request.fail_not_ready()
}
