// SPDX-License-Identifier: GPL-2.0

//! The Host Memory Buffer: memory of the host for a controller that has little of its own (base
//! specification, section 8.2.3).
//!
//! This module allocates and describes the memory; `control::hmb` gives it to the controller, and takes
//! it back. All of it sleeps but [`Hmb::is_on`].

mod plan;

pub(crate) use self::plan::Plan;
use crate::spec::hmb::{
    self,
    Descriptor,
    PAGE, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::{
        attrs::DMA_ATTR_NO_WARN,
        DmaAddress, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex,
        MutexGuard, //
    }, //
};
use kernel_ext::{
    dma::{
        Coherent,
        CoherentHandle,
        Noncontiguous, //
    },
    nvme::{
        AdminCommand,
        NoData, //
    }, //
};

/// Whether a controller has its buffer, and the lock to change that.
#[pin_data]
pub(crate) struct Hmb {
    /// Held while the buffer is given to the controller, or taken back; `Documentation/design.rst` has
    /// the order of locks.
    #[pin]
    changing: Mutex<()>,
    /// Whether the controller has the buffer. Written by a [`Change`] only; read by sysfs at any time.
    on: Atomic<bool>,
}

impl Hmb {
    /// Creates the state of a controller without a buffer.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            changing <- new_mutex!((), "Hmb::changing"),
            on: Atomic::new(false),
        })
    }

    /// Takes the lock to change whether the controller has the buffer. Sleeps.
    pub(crate) fn change(&self) -> Change<'_> {
        Change {
            on: &self.on,
            _changing: self.changing.lock(),
        }
    }

    /// Returns whether the controller has the buffer, which may change at any time.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }
}

/// The held lock of [`Hmb::change`]: the right to give the buffer to the controller, and to take it
/// back.
pub(crate) struct Change<'a> {
    on: &'a Atomic<bool>,
    _changing: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// Returns whether the controller has the buffer.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Notes whether the controller has the buffer.
    pub(crate) fn set_on(&mut self, on: bool) {
        self.on.store(on, Relaxed);
    }
}

/// The memory of the buffer. It must exist as long as the controller may access it.
pub(crate) struct Memory {
    plan: Plan,
    list: Coherent<[Descriptor]>,
    bytes: u64,
    _pieces: Pieces,
}

/// The pieces of the memory. Only the controller accesses their contents.
enum Pieces {
    /// One piece, which an IOMMU makes contiguous for the controller.
    One {
        _memory: Noncontiguous,
    },
    Many {
        _memory: KVec<CoherentHandle>,
    },
}

impl Memory {
    /// Allocates memory by `plan`: one piece, or else pieces as large as possible. `ENOMEM` if the
    /// minimum cannot be allocated.
    pub(crate) fn new(dev: &Device<Bound>, plan: Plan) -> Result<Self> {
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
            plan,
            list: Coherent::from_slice(dev, &[piece], GFP_KERNEL)?,
            bytes: plan.preferred,
            _pieces: Pieces::One { _memory: memory },
        })
    }

    /// Allocates the memory in pieces of `size` bytes.
    fn in_many(dev: &Device<Bound>, plan: Plan, size: u64) -> Result<Self> {
        let mut descriptors = KVVec::new();
        let mut pieces = KVec::new();
        let mut bytes = 0;
        while pieces.len() < plan.max_pieces {
            let len = usize::try_from(plan.next(size, bytes))?;
            let Ok(piece) =
                CoherentHandle::alloc_with_attrs(dev, len, GFP_KERNEL, DMA_ATTR_NO_WARN)
            else {
                break;
            };
            descriptors.push(describe(piece.dma_address(), len)?, GFP_KERNEL)?;
            pieces.push(piece, GFP_KERNEL)?;
            bytes = bytes.saturating_add(len as u64);
        }
        if bytes < plan.minimum.max(PAGE) {
            return Err(ENOMEM);
        }
        Ok(Self {
            plan,
            list: Coherent::from_slice(dev, &descriptors, GFP_KERNEL)?,
            bytes,
            _pieces: Pieces::Many { _memory: pieces },
        })
    }

    /// Returns whether it was allocated by `plan`, even if there was less memory than preferred.
    pub(crate) fn is_by(&self, plan: Plan) -> bool {
        self.plan == plan
    }

    /// Returns its size, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the number of its pieces.
    pub(crate) fn pieces(&self) -> usize {
        self.list.len()
    }

    /// Returns the command that gives the memory to the controller. `returned` says that the controller
    /// had it before.
    pub(crate) fn enable(&self, returned: bool) -> Result<AdminCommand<NoData>> {
        let pages = u32::try_from(self.bytes / PAGE)?;
        let count = u32::try_from(self.list.len())?;
        Ok(hmb::enable(pages, self.list.dma_address(), count, returned))
    }
}

fn describe(address: DmaAddress, len: usize) -> Result<Descriptor> {
    let pages = u32::try_from(len as u64 / PAGE)?;
    Ok(hmb::descriptor(address, pages))
}
