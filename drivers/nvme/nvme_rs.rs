// SPDX-License-Identifier: GPL-2.0

//! NVMe over PCIe: a transport of the kernel's nvme-core, and the owner of SR-IOV on it.
//!
//! From the top down; each uses what is below it, and nothing above:
//!
//! - `driver`: what the PCI core calls: probe, unbind, shutdown, resets, `sriov_numvfs`.
//! - `transport`: the controller as nvme-core sees it.
//! - `sriov`: virtual functions, from the plan to the last one online.
//! - `control`: how a controller is brought up, kept going and brought down.
//! - `controller`: what the transport knows of a controller.
//! - `queue`: submission and completion queue pairs; `memory`: what host and controller lend each
//!   other.
//! - `data`: where a command's data is.
//! - `bar`: the registers, as they are read and written.
//! - `parameters`: the module's parameters; `quirks`: controllers that are not as the specification
//!   has them; `faults`: device faults on demand, in kernels with fault injection.
//! - `spec`: registers, commands and data structures of the NVM Express specifications.
//!
//! "Base specification" is the NVM Express Base Specification, revision 2.1.

mod bar;
mod control;
mod controller;
mod data;
mod driver;
#[cfg_attr(not(NVME_RS_FAULTS), path = "faults/none.rs")]
mod faults;
mod memory;
mod parameters;
mod queue;
mod quirks;
mod spec;
mod sriov;
mod transport;

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
