// SPDX-License-Identifier: GPL-2.0

//! How a command points to its data and metadata: by PRPs ([`prp`]) or by an SGL ([`sgl`]), with
//! lists in memory for what does not fit in the command itself ([`lists`]) (base specification,
//! section 4.1).
//!
//! This runs for each command, in the context in which the block layer calls `queue_rq`: it does not
//! sleep, and takes no lock of the driver. It does not know queues; the caller passes the pools that
//! lists are taken from.

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
        Controller,
        Prepared,
        Transport, //
    }, //
};

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

/// Maps the data and metadata of `rq`, and writes their pointers into its command. Takes lists from
/// `pools`; the request owns them. `is_admin` says that the command is for the admin queue.
#[inline]
pub(crate) fn map<T: Transport<RequestData = Lists>>(
    ctrl: &Controller<T>,
    is_admin: bool,
    pools: &Arc<ListPools>,
    rq: &mut Prepared<'_, T>,
) -> Result<(), Status> {
    let mut in_sgl = false;
    if rq.has_data() {
        let choice = choice(ctrl, is_admin, rq);
        in_sgl = match rq.map_single()? {
            Some(segment) => match prp::short(segment) {
                // The most frequent case.
                Some((prp1, prp2)) if choice != Choice::Sgl => {
                    rq.command_mut().set_prps(prp1, prp2);
                    false
                }
                _ => map_long(pools, rq, choice, segment)?,
            },
            None => map_many(pools, rq, choice)?,
        };
    }
    if rq.has_metadata() {
        map_metadata(ctrl, pools, rq, in_sgl)?;
    }
    Ok(())
}

/// Writes the pointer to `segment`, which is all data of `rq`, into its command. Returns whether it is
/// an SGL. Not inlined: most data needs no list.
#[inline(never)]
fn map_long<T: Transport<RequestData = Lists>>(
    pools: &ListPools,
    rq: &mut Prepared<'_, T>,
    choice: Choice,
    segment: Segment,
) -> Result<bool, Status> {
    let bytes = rq.data_len();
    let lists = rq.request_data_mut();
    let pointer = build(pools, lists, choice, bytes, &mut iter::once(segment), 1)?;
    Ok(pointer.write(rq))
}

/// Maps the data of `rq`, and writes the pointer to it into its command. Returns whether it is an SGL.
#[inline(never)]
fn map_many<T: Transport<RequestData = Lists>>(
    pools: &ListPools,
    rq: &mut Prepared<'_, T>,
    choice: Choice,
) -> Result<bool, Status> {
    let bytes = rq.data_len();
    let pointer = rq.map_data(|lists, segments| {
        let at_most = segments.at_most();
        build(pools, lists, choice, bytes, segments, at_most)
    })?;
    Ok(pointer.write(rq))
}

/// A data pointer (figure 92).
enum Pointer {
    Prps((u64, u64)),
    Sgl(sgl::Descriptor),
}

impl Pointer {
    /// Writes the pointer into the command of `rq`. Returns whether it is an SGL.
    fn write<T: Transport>(self, rq: &mut Prepared<'_, T>) -> bool {
        match self {
            Self::Prps((prp1, prp2)) => {
                rq.command_mut().set_prps(prp1, prp2);
                false
            }
            Self::Sgl(descriptor) => {
                rq.command_mut().set_sgl(descriptor.words());
                true
            }
        }
    }
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
fn choice<T: Transport>(ctrl: &Controller<T>, is_admin: bool, rq: &Prepared<'_, T>) -> Choice {
    if is_admin || !ctrl.has_sgls() {
        Choice::Prps
    } else if rq.has_gaps(PAGE_SIZE) || rq.is_user_command() || rq.metadata_segments() > 1 {
        Choice::Sgl
    } else {
        Choice::Either
    }
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
fn map_metadata<T: Transport<RequestData = Lists>>(
    ctrl: &Controller<T>,
    pools: &ListPools,
    rq: &mut Prepared<'_, T>,
    may_be_sgl: bool,
) -> Result<(), Status> {
    let wants_sgl = rq.metadata_segments() > 1 || rq.is_user_command();
    if may_be_sgl && wants_sgl && ctrl.has_metadata_sgls() {
        let address = rq.map_metadata(|lists, segments| {
            let at_most = segments.at_most();
            sgl::build_metadata(pools, &mut lists.metadata, segments, at_most)
        })?;
        rq.command_mut().set_metadata_sgl(address);
    } else {
        let segment = rq.map_metadata(|_, segments| sgl::only(segments))?;
        rq.command_mut().set_metadata(segment.addr);
    }
    Ok(())
}
