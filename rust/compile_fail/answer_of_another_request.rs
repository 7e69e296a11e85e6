// SPDX-License-Identifier: GPL-2.0

//! The answer to the block layer for a request comes from that request: of two, one cannot be
//! answered in the name of the other, which may be under way.
// error: lifetime may not live long enough

use kernel_ext::nvme::{
    Accepted,
    Refused,
    Request,
    Transport, //
};

pub fn answer<'first, 'second, T: Transport>(
    first: Request<'first, T>,
    second: Request<'second, T>,
) -> Result<Accepted<'first>, Refused<'first>> {
    drop(second);
    first.fail_not_ready()
}

pub fn swapped<'first, 'second, T: Transport>(
    first: Request<'first, T>,
    second: Request<'second, T>,
) -> Result<Accepted<'first>, Refused<'first>> {
    answer::<T>(second, first)
}
