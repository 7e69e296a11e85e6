// SPDX-License-Identifier: GPL-2.0

//! Where a command's data and metadata are: in PRPs ([`prp`]), or in an SGL ([`sgl`]), with memory
//! for what the command itself has no room for ([`lists`]) (base specification, section 4.1).
//!
//! It runs for each command, with the block layer's locks held: nothing here sleeps. It knows of
//! queues no more than the pools that their lists are from.

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

/// Which of the two a command may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// PRPs: the controller has no SGLs, or not for this command.
    Prps,
    /// An SGL: PRPs cannot say it, or the controller is to check the length.
    Sgl,
    /// What is shorter.
    Either,
}

/// Maps data and metadata of `rq`, a command for the admin queue or not, and has the command say
/// where they are. Lists are taken from `pools`, and are the request's then.
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
                // Most commands end up here.
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

/// Has the command of `rq` say where `segment`, all of its data, is. Returns whether it does so in
/// an SGL. Not inlined: most data is short.
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

/// Maps the data of `rq`, and has its command say where it is. Returns whether it does so in an
/// SGL.
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
    /// Writes it into the command of `rq`. Returns whether it is an SGL.
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

/// Builds the data pointer of `segments`, which are `at_most` so many and `bytes` bytes.
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

/// What the command of `rq` may have as data pointer. The admin queue has PRPs (section 4.1.2).
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

/// Whether data of `bytes` bytes in `at_most` segments goes into an SGL, if it is not short.
#[inline]
fn wants_sgl(choice: Choice, at_most: usize, bytes: u32) -> bool {
    let threshold = parameters::sgl_threshold.value();
    match choice {
        Choice::Prps => false,
        Choice::Sgl => true,
        Choice::Either if threshold == 0 => false,
        // One descriptor against a PRP list.
        Choice::Either if at_most == 1 => true,
        Choice::Either => {
            let segments = u32::try_from(at_most).unwrap_or(u32::MAX);
            bytes.div_ceil(segments.max(1)) >= threshold
        }
    }
}

/// Maps the metadata of `rq`. Its pointer may be that of an SGL if the data pointer is one.
///
/// The length of a plain buffer is not said, but follows from the namespace's format. So it is for
/// metadata that the kernel has made, and user space has to say how much there is.
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
