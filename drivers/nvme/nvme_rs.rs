// SPDX-License-Identifier: GPL-2.0

//! NVMe over PCIe: a transport of the kernel's nvme-core, and the owner of SR-IOV on it.
//!
//! - `driver`: what the PCI core calls: probe, unbind, shutdown, resets, `sriov_numvfs`.
//! - `controller`: the controller as nvme-core sees it.
//! - `lifecycle`: how a controller is started, stopped and reset; `timeout`: what is done for a
//!   command that does not come back.
//! - `parameters`: the module's parameters.
//! - `power`: what becomes of a controller while the system sleeps.
//! - `queue`: a submission and completion queue pair; `data`: where a command's data
//!   is, in `prp` or `sgl`; `lists`: memory for more than the command itself can say.
//! - `shadow_doorbells`: doorbells in memory.
//! - `cmb`: the controller's memory that the host may use; `hmb`: the host's that the controller
//!   may use.
//! - `io_queues`: the I/O queues, created and deleted; `queue_kinds`: what they are for.
//! - `quirks`: controllers that are not as the specification has them.
//! - `sriov`: virtual functions, from the plan to the last one online.
//! - `faults`: device faults on demand, in kernels with fault injection.
//! - `regs`, `spec`: registers and data structures of the NVM Express specifications.
//!
//! "Base specification" is the NVM Express Base Specification, revision 2.1.

mod bar;
mod cmb;
mod controller;
mod data;
mod driver;
#[cfg_attr(not(NVME_RS_FAULTS), path = "faults/none.rs")]
mod faults;
mod hmb;
mod io_queues;
mod lifecycle;
mod parameters;
mod power;
mod queue;
mod queue_kinds;
mod quirks;
mod shadow_doorbells;
mod spec;
mod sriov;
mod timeout;

use kernel::{
    driver::Registration,
    prelude::*,
    InPlaceModule,
    ModuleMetadata,
    ThisModule, //
};
use kernel_ext::{
    nvme::WorkQueue,
    pci::Adapter, //
};

/// The module: its driver, for as long as it is loaded.
///
/// Fields are dropped in this order: what the driver has had done later is over when it is gone.
#[pin_data]
struct NvmeModule {
    #[pin]
    _faults: faults::Files,
    #[pin]
    _driver: Registration<Adapter<driver::NvmeDriver>>,
    _work: WorkQueue,
}

impl InPlaceModule for NvmeModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _faults <- faults::Files::new(),
            _driver <- Registration::new(<Self as ModuleMetadata>::NAME, module),
            _work: WorkQueue,
        })
    }
}

module! {
    type: NvmeModule,
    name: "nvme_rs",
    authors: ["The nvme-rs authors"],
    description: "NVM Express over PCIe, with SR-IOV",
    license: "GPL",
}
