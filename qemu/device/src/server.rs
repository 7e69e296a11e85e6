// SPDX-License-Identifier: GPL-2.0

//! The socket on which QEMU uses the function: vfio-user.

use crate::{
    controller::Controller,
    interrupts::{Kind, Wire},
    memory::Mapping,
    pci,
    settings::Settings,
};
use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use vfio_bindings::bindings::vfio::*;
use vfio_user::{DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion};

/// How often the controller does something by itself.
const TICK: Duration = Duration::from_millis(1);

/// A controller, which several threads use.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Controller>>);

impl Shared {
    /// Shares a controller.
    pub fn new(controller: Controller) -> Self {
        Shared(Arc::new(Mutex::new(controller)))
    }

    /// Returns the controller, which nobody else uses meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, Controller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a thread let the controller do what it does by itself.
    pub fn start(&self) {
        let shared = self.clone();
        thread::spawn(move || loop {
            shared.lock().tick(Instant::now());
            thread::sleep(TICK);
        });
    }
}

struct Backend(Shared);

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        match region {
            VFIO_PCI_CONFIG_REGION_INDEX => self.0.lock().read_space(offset, data),
            VFIO_PCI_BAR0_REGION_INDEX => self.0.lock().read(offset, data),
            VFIO_PCI_BAR2_REGION_INDEX => self.0.lock().read_buffer(offset, data),
            // QEMU itself has the MSI-X table.
            _ => data.fill(0),
        }
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        match region {
            VFIO_PCI_CONFIG_REGION_INDEX => self.0.lock().write_space(offset, data),
            VFIO_PCI_BAR0_REGION_INDEX => self.0.lock().write(offset, data),
            VFIO_PCI_BAR2_REGION_INDEX => self.0.lock().write_buffer(offset, data),
            _ => {}
        }
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        file: Option<File>,
    ) -> io::Result<()> {
        // What has no file, such as a ROM, cannot be accessed.
        if let Some(file) = file {
            let writable = flags.contains(DmaMapFlags::WRITE);
            let mapping = Mapping::new(address, size, writable, &file, offset)?;
            self.0.lock().memory.guest.map(mapping);
        }
        Ok(())
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        let all = flags.contains(DmaUnmapFlags::UNMAP_ALL);
        let (address, size) = if all { (0, u64::MAX) } else { (address, size) };
        self.0.lock().memory.guest.unmap(address, size);
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.0.lock().reset_function();
        Ok(())
    }

    fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        files: Vec<File>,
    ) -> io::Result<()> {
        let kind = match index {
            VFIO_PCI_INTX_IRQ_INDEX => Kind::Pin,
            VFIO_PCI_MSI_IRQ_INDEX => Kind::Msi,
            VFIO_PCI_MSIX_IRQ_INDEX => Kind::Msix,
            _ => return Ok(()),
        };
        let mut controller = self.0.lock();
        if flags & VFIO_IRQ_SET_ACTION_TRIGGER == 0 {
            if kind == Kind::Pin {
                let masked = flags & VFIO_IRQ_SET_ACTION_MASK != 0;
                controller.interrupts.mask_pin(masked);
            }
        } else if flags & VFIO_IRQ_SET_DATA_EVENTFD != 0 {
            let mut files = files.into_iter();
            let wires =
                (0..count).map(|_| files.next().map(|file| Box::new(file) as Box<dyn Wire>));
            let (start, wires) = (start as usize, wires.collect());
            controller.interrupts.connect(kind, start, wires);
        } else if count == 0 {
            controller.interrupts.disconnect(kind);
        }
        controller.update_pin();
        Ok(())
    }
}

fn regions(settings: &Settings) -> Vec<ServerRegion> {
    let region = |index| {
        let size = match index {
            VFIO_PCI_CONFIG_REGION_INDEX => pci::LENGTH as u64,
            _ => pci::bar_size(settings, index as usize),
        };
        let flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
        ServerRegion {
            region_info: vfio_region_info {
                argsz: size_of::<vfio_region_info>() as u32,
                index,
                size,
                flags: if size > 0 { flags } else { 0 },
                ..Default::default()
            },
            sparse_areas: Vec::new(),
            mmap_fd: None,
        }
    };
    (0..VFIO_PCI_NUM_REGIONS).map(region).collect()
}

fn interrupts(settings: &Settings) -> Vec<IrqInfo> {
    let interrupt = |index| {
        let count = match index {
            VFIO_PCI_INTX_IRQ_INDEX => u32::from(settings.intx),
            VFIO_PCI_MSI_IRQ_INDEX => settings.msi.into(),
            VFIO_PCI_MSIX_IRQ_INDEX => settings.msix.into(),
            VFIO_PCI_REQ_IRQ_INDEX | VFIO_PCI_ERR_IRQ_INDEX => 1,
            _ => 0,
        };
        let pin = VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
        let flags = match (count, index) {
            (0, _) => 0,
            (_, VFIO_PCI_INTX_IRQ_INDEX) => VFIO_IRQ_INFO_EVENTFD | pin,
            _ => VFIO_IRQ_INFO_EVENTFD,
        };
        IrqInfo {
            index,
            count,
            flags,
        }
    };
    (0..VFIO_PCI_NUM_IRQS).map(interrupt).collect()
}

/// Serves one QEMU after the other at `path`.
pub fn serve(shared: &Shared, path: &Path) -> Result<(), vfio_user::Error> {
    let settings = shared.lock().settings().clone();
    let server = Server::new(path, true, interrupts(&settings), regions(&settings))?;
    loop {
        let end = server.run(&mut Backend(shared.clone()));
        let mut controller = shared.lock();
        controller.reset_function();
        controller.memory.guest.unmap(0, u64::MAX);
        for kind in [Kind::Pin, Kind::Msi, Kind::Msix] {
            controller.interrupts.disconnect(kind);
        }
        if let Err(error @ vfio_user::Error::SocketAccept(_)) = end {
            return Err(error);
        }
    }
}
