// SPDX-License-Identifier: GPL-2.0

//! nvme-core, the library behind every NVMe transport of the kernel.
//!
//! nvme-core identifies controllers, finds namespaces, makes their block and character devices and
//! turns block requests into commands. A [`Transport`] carries the commands to the controller and
//! the completions back. A [`Controller`] is what the two share.
//!
//! A module uses what is below it; `scripts/rust-layers` has the order and checks it. From the top:
//!
//! - `controller::setup` makes a controller, and gives nvme-core and the block layer its tables of
//!   calls; the rest of `controller` holds, stops and starts one.
//! - `ctrl_ops` and `mq_ops` are these tables: what nvme-core (`struct nvme_ctrl_ops`) and the block
//!   layer (`struct blk_mq_ops`) call.
//! - `admin` sends commands of the transport's own; `queue_tags` finds and completes requests.
//! - `transport`, `controller`, `request`, `batch`, `complete` and `attributes` use each other, and
//!   are one layer: the trait names the types in its signatures, which are generic over the trait.
//!   The kernel crate's `block::mq` is the same: its `Operations` takes a `Request<Self>`, and its
//!   `Request<T: Operations>` is sent by one.
//! - `admin_command`, `tag_table`, `io_queues`, `command`, `quirks`, `trace`, `work` and `fault_data`
//!   know no transport.
//!
//! C header: `drivers/nvme/host/nvme.h`

mod admin;
mod admin_command;
mod attributes;
mod batch;
mod command;
mod complete;
mod completion_ring;
mod controller;
mod ctrl_ops;
#[cfg(NVME_RS_FAULTS)]
mod fault_data;
mod io_queues;
mod mq_ops;
mod queue_tags;
mod quirks;
mod request;
mod tag_table;
mod trace;
mod transport;
mod work;

#[cfg(NVME_RS_FAULTS)]
pub use self::fault_data::FaultData;
pub use self::{
    admin::{
        AdminDone,
        AdminError, //
    },
    admin_command::{
        AdminCommand,
        Feature,
        Moves,
        NoData,
        Opcode,
        Reads,
        Transfer,
        Writes, //
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
    complete::{
        Batch,
        CompletionBatch, //
    },
    completion_ring::{
        CompletionRing,
        Entries,
        Entry,
        Watch, //
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
        Accepted,
        InFlight,
        Prepared,
        Refused,
        Request,
        Started, //
    },
    trace::TracedTail,
    transport::Transport,
    work::{
        work_queue,
        WorkQueue, //
    }, //
};
