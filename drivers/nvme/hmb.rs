// SPDX-License-Identifier: GPL-2.0

//! The Host Memory Buffer: memory of the host for a controller that has little of its own (base
//! specification, section 8.2.3).
//!
//! No controller needs it to work: what goes wrong is reported, and that is all.

mod plan;

use self::plan::Plan;
use crate::{
    controller::Nvme,
    io_queues::{
        execute,
        lock_unless_stopping, //
    },
    parameters,
    spec::hmb::{
        self,
        Descriptor,
        PAGE, //
    },
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::{
        attrs::DMA_ATTR_NO_WARN,
        Coherent,
        CoherentHandle,
        DmaAddress, //
    },
    fmt::Write,
    new_mutex,
    prelude::*,
    str::{
        kstrtobool,
        CString, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    }, //
};
use kernel_ext::{
    dma::Noncontiguous,
    nvme::{
        Attribute,
        Command,
        Controller,
        State, //
    },
    pci::DeviceExt, //
};

/// The buffer of a controller, as far as it concerns more than the hardware.
#[pin_data]
pub(crate) struct Hmb {
    /// Held while the buffer is given to the controller, or taken back.
    #[pin]
    changing: Mutex<()>,
    /// Whether the controller has it.
    on: Atomic<bool>,
}

impl Hmb {
    /// No buffer.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            changing <- new_mutex!((), "Hmb::changing"),
            on: Atomic::new(false),
        })
    }
}

/// The memory, for as long as the controller may access it.
pub(crate) struct Memory {
    list: Coherent<[Descriptor]>,
    bytes: u64,
    _pieces: Pieces,
}

/// What the memory consists of. Nobody looks into it but the controller.
enum Pieces {
    /// One piece, by courtesy of an IOMMU.
    One {
        _memory: Noncontiguous,
    },
    Many {
        _memory: KVec<CoherentHandle>,
    },
}

impl Memory {
    /// Allocates memory as `plan` has it: one piece, or as few as there can be. `ENOMEM` if there
    /// is too little.
    fn new(dev: &Device<Bound>, plan: Plan) -> Result<Self> {
        Self::in_one(dev, plan).or_else(|_| {
            plan.sizes()
                .find_map(|size| Self::in_many(dev, plan, size).ok())
                .ok_or(ENOMEM)
        })
    }

    fn in_one(dev: &Device<Bound>, plan: Plan) -> Result<Self> {
        let memory = Noncontiguous::alloc(dev, usize::try_from(plan.preferred)?)?;
        let piece = describe(memory.dma_address(), memory.size())?;
        Ok(Self {
            list: Coherent::from_slice(dev, &[piece], GFP_KERNEL)?,
            bytes: plan.preferred,
            _pieces: Pieces::One { _memory: memory },
        })
    }

    /// In pieces of `size` bytes.
    fn in_many(dev: &Device<Bound>, plan: Plan, size: u64) -> Result<Self> {
        let mut descriptors = KVVec::new();
        let mut pieces = KVec::new();
        let mut bytes = 0;
        while pieces.len() < plan.most {
            let len = usize::try_from(plan.next(size, bytes))?;
            let Ok(piece) =
                CoherentHandle::alloc_with_attrs(dev, len, GFP_KERNEL, DMA_ATTR_NO_WARN)
            else {
                break;
            };
            descriptors.push(describe(piece.dma_address(), len)?, GFP_KERNEL)?;
            pieces.push(piece, GFP_KERNEL)?;
            bytes += len as u64;
        }
        if bytes < plan.minimum.max(PAGE) {
            return Err(ENOMEM);
        }
        Ok(Self {
            list: Coherent::from_slice(dev, &descriptors, GFP_KERNEL)?,
            bytes,
            _pieces: Pieces::Many { _memory: pieces },
        })
    }

    /// The command that gives the memory to the controller, which may have had it before.
    fn enable(&self, returned: bool) -> Result<Command> {
        let pages = u32::try_from(self.bytes / PAGE)?;
        let count = u32::try_from(self.list.len())?;
        Ok(hmb::enable(pages, self.list.dma_address(), count, returned))
    }
}

fn describe(address: DmaAddress, len: usize) -> Result<Descriptor> {
    let pages = u32::try_from(len as u64 / PAGE)?;
    Ok(hmb::descriptor(address, pages))
}

/// Gives the controller, which has just been identified, the buffer that it wants, or gives it
/// back after a reset.
pub(crate) fn start(ctrl: &Controller<Nvme>) {
    let _changing = ctrl.data().hmb.changing.lock();
    // The reasons are in the log. If the controller does not answer any more, the next command
    // fails, too.
    let _ = enable(ctrl);
}

/// Has the controller stop to access the buffer, before it is shut down. It gets the same one back
/// when it is started. Waits no longer than one admin timeout; nothing happens unless it is live.
pub(crate) fn stop(ctrl: &Controller<Nvme>) {
    let _changing = ctrl.data().hmb.changing.lock();
    let data = ctrl.data();
    let answers = data.is_present() && !data.pdev.is_channel_offline();
    if !data.hmb.on.load(Relaxed) || ctrl.state() != State::Live || !answers {
        return;
    }
    // One that is shut down or disabled has no buffer anyway, so this need not succeed.
    if execute(ctrl, hmb::disable(), ctrl.admin_timeout()).is_none() {
        dev_warn!(
            ctrl.device(),
            "the host memory buffer was not given back in time\n"
        );
    }
    data.hmb.on.store(false, Relaxed);
}

/// Gives the controller its buffer. `Hmb::changing` is locked.
///
/// `ENOSPC` if it needs more than it may have, `ENOMEM` without memory, `EIO` if it refuses.
fn enable(ctrl: &Controller<Nvme>) -> Result {
    let data = ctrl.data();
    data.hmb.on.store(false, Relaxed);
    let limit = u64::from(parameters::max_host_mem_size_mb.value()) << 20;
    let wants = ctrl.host_memory();
    let plan = Plan::new(wants, limit).inspect_err(|_| {
        let mib = u64::from(wants.hmmin) * PAGE >> 20;
        dev_warn!(
            ctrl.device(),
            "no host memory buffer: at least {mib} MiB are needed, raise max_host_mem_size_mb\n"
        );
    });
    let Some(plan) = plan? else { return Ok(()) };
    let command = allocate(ctrl, plan).inspect_err(|e| {
        dev_warn!(ctrl.device(), "no host memory buffer: {e:?}\n");
    })?;
    send(ctrl, command, "taken").inspect_err(|_| release(ctrl))?;
    data.hmb.on.store(true, Relaxed);
    Ok(())
}

/// Allocates the buffer, unless it is there. Returns the command that gives it to the controller.
fn allocate(ctrl: &Controller<Nvme>, plan: Plan) -> Result<Command> {
    let mut hw = lock_unless_stopping(ctrl)?;
    let (pdev, hw) = hw.split();
    if let Some(memory) = hw.hmb.as_ref() {
        return memory.enable(true);
    }
    let memory = hw.hmb.insert(Memory::new(pdev.as_ref(), plan)?);
    dev_info!(
        ctrl.device(),
        "host memory buffer of {} KiB in {} pieces\n",
        memory.bytes >> 10,
        memory.list.len()
    );
    memory.enable(false)
}

/// Frees the buffer, which the controller does not have.
fn release(ctrl: &Controller<Nvme>) {
    // Whoever stops the controller keeps it until the device is unbound.
    if let Ok(mut hw) = lock_unless_stopping(ctrl) {
        hw.hmb = None;
    }
}

/// Takes the buffer back, which the controller has, and frees it. `Hmb::changing` is locked.
fn disable(ctrl: &Controller<Nvme>) -> Result {
    send(ctrl, hmb::disable(), "given back")?;
    ctrl.data().hmb.on.store(false, Relaxed);
    release(ctrl);
    Ok(())
}

/// Sends `command`, by which the buffer is `what`. `EIO` if the controller refuses.
fn send(ctrl: &Controller<Nvme>, command: Command, what: &str) -> Result {
    match ctrl.admin_command(command, None)? {
        Ok(_) => Ok(()),
        Err(status) => {
            dev_warn!(
                ctrl.device(),
                "the host memory buffer was not {what}, status {:#x}\n",
                status.code()
            );
            Err(EIO)
        }
    }
}

/// Whether the controller has the buffer. 0 takes it away, and 1 gives it back; `EBUSY` while the
/// controller is not live.
pub(crate) const ON: Attribute<Nvme> = Attribute::writable(
    c"hmb",
    |ctrl| ctrl.host_memory().hmpre != 0,
    |ctrl, f| {
        writeln!(f, "{}", u8::from(ctrl.data().hmb.on.load(Relaxed)))?;
        Ok(())
    },
    |ctrl, text| {
        let want = kstrtobool(&CString::try_from_fmt(fmt!("{text}"))?)?;
        let hmb = &ctrl.data().hmb;
        let _changing = hmb.changing.lock();
        if ctrl.state() != State::Live {
            return Err(EBUSY);
        }
        if want == hmb.on.load(Relaxed) {
            return Ok(());
        }
        if want {
            enable(ctrl)
        } else {
            disable(ctrl)
        }
    },
);
