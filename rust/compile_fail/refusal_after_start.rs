// SPDX-License-Identifier: GPL-2.0
//! A request that was started cannot be given back to the block layer: it would be started twice.
// error: E0382

use kernel_ext::{
    block::mq::Status,
    nvme::{
        Command,
        Refused,
        Request,
        Transport, //
    },
};

fn refuse<'rq, T: Transport>(
    rq: Request<'rq, T>,
    send: impl Fn(Command) -> Result<(), Status>,
) -> Result<(), Refused<'rq>> {
    let rq = rq.setup()?;
    let (command, accepted) = rq.start().into_command();
    let _ = accepted;
    send(command).map_err(|status| rq.refuse(status))
}
