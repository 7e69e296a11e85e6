// SPDX-License-Identifier: GPL-2.0

//! How a command points to its data and metadata: by PRPs ([`prp`]) or by an SGL ([`sgl`]), with
//! lists in memory for what does not fit in the command itself ([`lists`]) (base specification,
//! section 4.1).
//!
//! This runs for each command, in the context in which the block layer calls `queue_rq`: it does not
//! sleep, and takes no lock of the driver. It knows of a queue what [`Lender`] has.

pub(crate) mod lists;
pub(crate) mod prp;
pub(crate) mod sgl;

use self::lists::{
    ListPools,
    Lists, //
};
use crate::{
    parameters,
    spec::PAGE_SIZE, //
};
use core::iter;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    block::mq::{
        Segment,
        Status, //
    },
    nvme::{
        Prepared,
        Refused,
        Transport, //
    }, //
};

/// A queue, for whose commands there are lists.
pub(crate) trait Lender {
    /// Returns the pools that lists are taken from.
    fn lists(&self) -> &Arc<ListPools>;
    /// Returns whether it is the admin queue.
    fn is_admin(&self) -> bool;
}

/// Which kind of data pointer a command may use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// PRPs: the controller does not support SGLs, or not for this command.
    Prps,
    /// An SGL: PRPs cannot describe the data, or the controller is to check the length.
    Sgl,
    /// The one that is cheaper.
    Either,
}

/// Maps the data and metadata of `rq`, which is for `queue`, and writes their pointers into its command.
/// The request owns the lists that are taken.
///
/// A request passes through by value, here and below: so it is never in memory.
#[inline(always)]
pub(crate) fn map<'rq, T: Transport<RequestData = Lists>>(
    queue: &impl Lender,
    mut rq: Prepared<'rq, T>,
) -> Result<Prepared<'rq, T>, Refused<'rq>> {
    let mut is_sgl = false;
    if rq.has_data() {
        match rq.map_single() {
            Ok(Some(segment)) => match prp::short(segment) {
                // The most frequent case.
                Some((prp1, prp2)) if !needs_sgl(&rq) => rq.command_mut().set_prps(prp1, prp2),
                _ if wants_sgl(choice(queue, &rq), 1, segment.len) => {
                    // One descriptor, in the command.
                    rq.command_mut()
                        .set_sgl(sgl::Descriptor::data(segment).words());
                    is_sgl = true;
                }
                _ => return map_long(queue, rq, segment),
            },
            Ok(None) => return map_many(queue, rq),
            Err(status) => return Err(rq.refuse(status)),
        }
    }
    if rq.has_metadata() {
        return map_metadata(queue, rq, is_sgl);
    }
    Ok(rq)
}

/// Writes the pointer to `segment`, which is all data of `rq`, into its command by PRPs, and maps the
/// metadata. Not inlined: most data needs no list.
#[inline(never)]
fn map_long<'rq, T: Transport<RequestData = Lists>>(
    queue: &impl Lender,
    mut rq: Prepared<'rq, T>,
    segment: Segment,
) -> Result<Prepared<'rq, T>, Refused<'rq>> {
    let lists = rq.request_data_mut();
    let prps = prp::build(&**queue.lists(), lists, iter::once(segment), segment.len);
    write(queue, rq, prps.map(Pointer::Prps))
}

/// Maps the data of `rq`, writes the pointer to it into its command, and maps the metadata.
#[inline(never)]
fn map_many<'rq, T: Transport<RequestData = Lists>>(
    queue: &impl Lender,
    mut rq: Prepared<'rq, T>,
) -> Result<Prepared<'rq, T>, Refused<'rq>> {
    let bytes = rq.data_len();
    let choice = choice(queue, &rq);
    let pointer = rq.map_data(|lists, segments| {
        let at_most = segments.at_most();
        build(queue.lists(), lists, choice, bytes, segments, at_most)
    });
    write(queue, rq, pointer)
}

/// Writes `pointer` into the command of `rq`, and maps the metadata.
#[inline]
fn write<'rq, T: Transport<RequestData = Lists>>(
    queue: &impl Lender,
    mut rq: Prepared<'rq, T>,
    pointer: Result<Pointer, Status>,
) -> Result<Prepared<'rq, T>, Refused<'rq>> {
    let is_sgl = match pointer {
        Ok(Pointer::Prps((prp1, prp2))) => {
            rq.command_mut().set_prps(prp1, prp2);
            false
        }
        Ok(Pointer::Sgl(descriptor)) => {
            rq.command_mut().set_sgl(descriptor.words());
            true
        }
        Err(status) => return Err(rq.refuse(status)),
    };
    if rq.has_metadata() {
        return map_metadata(queue, rq, is_sgl);
    }
    Ok(rq)
}

/// A data pointer (figure 92).
enum Pointer {
    Prps((u64, u64)),
    Sgl(sgl::Descriptor),
}

/// Builds the data pointer for `segments`. There are no more than `at_most` of them, with `bytes` bytes
/// in all.
fn build(
    pools: &ListPools,
    lists: &mut Lists,
    choice: Choice,
    bytes: u32,
    segments: &mut impl Iterator<Item = Segment>,
    at_most: usize,
) -> Result<Pointer, Status> {
    if wants_sgl(choice, at_most, bytes) {
        sgl::build(pools, &mut lists.data[0], segments, at_most).map(Pointer::Sgl)
    } else {
        prp::build(pools, lists, segments, bytes).map(Pointer::Prps)
    }
}

/// Returns which kind of data pointer the command of `rq` may use. Commands of the admin queue use PRPs
/// (section 4.1.2).
#[inline]
fn choice<T: Transport>(queue: &impl Lender, rq: &Prepared<'_, T>) -> Choice {
    if queue.is_admin() || !rq.controller().has_sgls() {
        Choice::Prps
    } else if rq.has_gaps(PAGE_SIZE) || needs_sgl(rq) {
        Choice::Sgl
    } else {
        Choice::Either
    }
}

/// Returns whether the command of `rq` needs an SGL if it may have one, whatever its data is like: the
/// controller is to check the length, or there are several segments of metadata.
#[inline]
fn needs_sgl<T: Transport>(rq: &Prepared<'_, T>) -> bool {
    rq.is_user_command() || rq.metadata_segments() > 1
}

/// Returns whether an SGL describes data of `bytes` bytes in `at_most` segments, which PRP entries 1
/// and 2 alone do not describe.
#[inline]
fn wants_sgl(choice: Choice, at_most: usize, bytes: u32) -> bool {
    let threshold = parameters::sgl_threshold.value();
    match choice {
        Choice::Prps => false,
        Choice::Sgl => true,
        Choice::Either if threshold == 0 => false,
        // One descriptor in the command is cheaper than a PRP list.
        Choice::Either if at_most == 1 => true,
        Choice::Either => {
            let segments = u32::try_from(at_most).unwrap_or(u32::MAX);
            bytes.div_ceil(segments.max(1)) >= threshold
        }
    }
}

/// Maps the metadata of `rq`. The metadata pointer may be an SGL only if the data pointer is one
/// (`may_be_sgl`).
///
/// A plain metadata pointer has no length: the controller derives it from the namespace's format. So
/// commands of user space, whose buffer may be shorter, use an SGL, which has one.
#[inline(never)]
fn map_metadata<'rq, T: Transport<RequestData = Lists>>(
    queue: &impl Lender,
    mut rq: Prepared<'rq, T>,
    may_be_sgl: bool,
) -> Result<Prepared<'rq, T>, Refused<'rq>> {
    let mapped = if may_be_sgl && needs_sgl(&rq) && rq.controller().has_metadata_sgls() {
        let address = rq.map_metadata(|lists, segments| {
            let at_most = segments.at_most();
            sgl::build_metadata(&**queue.lists(), &mut lists.metadata, segments, at_most)
        });
        address.map(|address| rq.command_mut().set_metadata_sgl(address))
    } else {
        let segment = rq.map_metadata(|_, segments| sgl::only(segments));
        segment.map(|segment| rq.command_mut().set_metadata(segment.addr))
    };
    match mapped {
        Ok(()) => Ok(rq),
        Err(status) => Err(rq.refuse(status)),
    }
}
