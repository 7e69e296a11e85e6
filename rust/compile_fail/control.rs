// SPDX-License-Identifier: GPL-2.0

//! The other snippets do this wrong. This one compiles, so the command line is not why the others
//! are refused.
// error: none

use kernel::{
    device::{
        Bound,
        Core, //
    },
    io::Io,
    pci::Device,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    alloc::NoIo,
    dma::{
        Block,
        NodePools, //
    },
    nvme::{
        Controller,
        IoQueues,
        Refused,
        Request,
        Started,
        Transport, //
    },
    pci::{
        irq::{
            Kinds,
            Vectors, //
        },
        sriov::{
            EnableVfs,
            RescanLocked, //
        },
        BarMapping,
        BoundLock,
        FunctionReset,
        P2pPool,
        Stopped, //
    },
};

/// A scope without I/O ends in the thread in which it began.
pub fn scope(f: impl FnOnce()) {
    let scope = NoIo::new();
    f();
    drop(scope);
}

/// VFs are enabled under the lock, which the caller has.
pub fn enable(dev: &Device<Bound>, lock: &RescanLocked) -> Result {
    dev.enable_vfs(1, lock)
}

/// A function is reset by a callback of its driver.
pub fn reset(dev: &Device<Core<'_>>) -> Result {
    dev.reset_function()
}

/// A request is started once.
pub fn start<'rq, T: Transport>(request: Request<'rq, T>) -> Result<Started<'rq, T>, Refused<'rq>> {
    Ok(request.setup()?.start())
}

/// A bound device is used while the guard lives.
pub fn vectors(bound: &BoundLock<Option<Arc<Vectors>>>) -> Result {
    let mut guard = bound.lock()?;
    let (dev, vectors) = guard.split();
    *vectors = Some(Vectors::alloc(dev, Kinds::Any, 1, 1)?);
    Ok(())
}

/// A block is given back once.
pub fn free(pools: &NodePools, block: Block) {
    pools.free(block);
}

/// The vectors are there while the block layer looks at their spread.
pub fn map<T: Transport>(ctrl: &Controller<T>, queues: IoQueues, vectors: &Vectors) -> Result {
    ctrl.update_io_queues(queues, vectors)
}

/// Requests are cancelled when the device cannot master the bus.
pub fn cancel<T: Transport>(ctrl: &Controller<T>, dev: &Device<Bound>) -> Result {
    ctrl.cancel_all(&Stopped::new(dev)?)
}

/// Memory is published while the device is bound as it was.
pub fn publish(pool: &P2pPool, dev: &Device<Bound>) -> Result {
    pool.publish(dev)
}

/// Registers are read where they are lent.
pub fn read(mapping: &BarMapping<8>) -> Option<u32> {
    mapping.access(|io| io.read32(0))
}
