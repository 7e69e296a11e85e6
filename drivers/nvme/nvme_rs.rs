// SPDX-License-Identifier: GPL-2.0

//! NVMe over PCIe: a transport of the kernel's nvme-core, and the owner of SR-IOV on it.
//!
//! The modules from the top down; each uses modules below it, and none above:
//!
//! - `driver`: the callbacks of the PCI core: probe, unbind, shutdown, resets, `sriov_numvfs`.
//! - `transport`: the callbacks of nvme-core.
//! - `sriov`: provisions virtual functions.
//! - `control`: starts, resets, recovers and stops controllers.
//! - `controller`: the state of a controller.
//! - `queue`: submission and completion queue pairs; `memory`: memory that host and controller lend
//!   each other.
//! - `data`: the pointers to a command's data.
//! - `bar`: reads and writes registers.
//! - `parameters`: the module's parameters; `quirks`: controllers that deviate from the specification;
//!   `faults`: device faults on demand, for tests.
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

/// The module, which registers its driver as long as it is loaded.
///
/// Fields are dropped in this order: `_work` waits for work that the driver has queued, after the driver
/// is unregistered.
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
