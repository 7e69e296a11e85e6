// SPDX-License-Identifier: GPL-2.0

//! nvme-core, the library behind every NVMe transport of the kernel.
//!
//! nvme-core identifies controllers, finds namespaces, makes their block and character devices and
//! turns block requests into commands. A [`Transport`] carries the commands to the controller and
//! the completions back. A [`Controller`] is what the two share.
//!
//! C header: `drivers/nvme/host/nvme.h`

mod admin;
mod attributes;
mod batch;
mod command;
mod controller;
#[cfg(NVME_RS_FAULTS)]
mod data;
mod io_queues;
mod ops;
mod queue;
mod quirks;
mod request;
mod tags;
mod trace;
mod transport;
mod work;

#[cfg(NVME_RS_FAULTS)]
pub use self::data::Data;
pub use self::{
    admin::{
        AdminDone,
        AdminError, //
    },
    attributes::Attribute,
    batch::Commands,
    command::{
        Command,
        CommandId,
        CommandStatus,
        Completion,
        ADMIN_QUEUE_DEPTH,
        ASYNC_EVENT_ID, //
    },
    controller::{
        Controller,
        HostMemory,
        Limits,
        State, //
    },
    io_queues::IoQueues,
    quirks::Quirks,
    request::{
        InFlight,
        Prepared,
        Request,
        Started, //
    },
    tags::{
        Batch,
        CompletionBatch,
        QueueTags, //
    },
    trace::TracedTail,
    transport::Transport,
    work::{
        work_queue,
        WorkQueue, //
    }, //
};
