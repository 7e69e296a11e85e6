# SPDX-License-Identifier: GPL-2.0
"""QEMU's options for a machine of some shape."""

import json
from collections.abc import Sequence
from pathlib import Path

from guest import accelerator, debian, executions
from guest.architecture import ARCHITECTURE
from guest.device import Device
from guest.kernel import PARAMETERS, PATIENCE, Kernel
from guest.shape import FIRST_PRIVATE_NSID, ZONE_MIB, ZONES_ACTIVE, ZONES_OPEN, Format, Shape

_MIB = 1 << 20
_MEMORY_MIB = 2048
_DEVICE_CHASSIS = 200
"""The chassis of the controllers outside of QEMU, which numbers tell apart."""
_EUI64 = 0x525400 << 40
"""The first bytes of the EUI64s: the OUI of QEMU's devices."""


def machine_options(shape: Shape, kernel: Kernel, folder: Path,
                    devices: Sequence[Device]) -> list[str]:
    """Returns QEMU's options. ``devices`` are the controllers outside of it."""
    command_line = [
        f"console={ARCHITECTURE.console}", "loglevel=5", "oops=panic", "panic=-1",
        "panic_sys_info=all_bt", *ARCHITECTURE.parameters, PARAMETERS,
        f"sysctl.kernel.hung_task_timeout_secs={30 * PATIENCE:.0f}",
        f"sysctl.kernel.watchdog_thresh={min(10 * PATIENCE, 60):.0f}",
    ]
    if shape.iommu:
        command_line += ARCHITECTURE.translated_parameters
    if shape.bounced:
        command_line.append("swiotlb=force")
    initrd = folder / "initramfs"
    if shape.debian:
        initrd = debian.initrd(kernel)
        command_line += debian.PARAMETERS
    options = [
        "-machine", ARCHITECTURE.machine + (ARCHITECTURE.translated if shape.iommu else "")
                    + (",memory-backend=memory" if devices else ""),
        *(accelerator.COUNTING if shape.counted else accelerator.options()),
        "-smp", f"{shape.cpus},sockets={shape.nodes}", "-m", f"{_MEMORY_MIB}M",
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-kernel", str(kernel.vmlinux), "-initrd", str(initrd),
        "-append", " ".join(command_line),
        "-serial", f"file:{folder / 'console'}",
        "-qmp", f"unix:{folder / 'qmp'},server=on,wait=off",
        "-chardev", f"socket,id=agent,path={folder / 'agent'},"
                    "server=on,wait=off",
        "-chardev", f"socket,id=terminal,path={folder / 'terminal'},"
                    "server=on,wait=off",
    ]
    if shape.counted:
        options += executions.plugin(folder)
    if shape.iommu:
        options += ARCHITECTURE.iommu
    options += [
        "-device", "virtio-serial-pci",
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        "-device", "virtconsole,chardev=terminal",
    ]
    if shape.debian:
        options += debian.options(folder)
    options += _nodes(shape)
    if devices:
        # They map the guest's memory.
        options += ["-object",
                    f"memory-backend-memfd,id=memory,size={_MEMORY_MIB}M,share=on"]
    if shape.switch:
        options += ["-device", "pcie-root-port,id=root,chassis=100",
                    "-device", "x3130-upstream,id=switch,bus=root"]
    for index in range(shape.controllers):
        options += _controller(shape, index, folder)
    for device in devices:
        options += _device(device)
    return options


def _device(device: Device) -> list[str]:
    """Returns the options for a port, and for a controller outside of QEMU behind it."""
    port = f"{device.name}-port"
    properties = {
        "driver": "vfio-user-pci", "id": device.name, "bus": port,
        "socket": {"type": "unix", "path": str(device.socket)},
    }
    # QEMU aborts when such a controller is unplugged.
    return ["-device", f"pcie-root-port,id={port},chassis={_DEVICE_CHASSIS}"
                       f",slot={device.name.removeprefix('device')},hotplug=off",
            "-device", json.dumps(properties)]


def _nodes(shape: Shape) -> list[str]:
    """Returns the options for NUMA nodes, and for a bus that belongs to the last node."""
    if shape.nodes == 1:
        return []
    options = []
    size, cpus = _MEMORY_MIB // shape.nodes, shape.cpus // shape.nodes
    for node in range(shape.nodes):
        first = node * cpus
        options += [
            "-object", f"memory-backend-ram,id=memory{node},size={size}M",
            "-numa", f"node,nodeid={node},memdev=memory{node},"
                     f"cpus={first}-{first + cpus - 1}",
        ]
    return options + ["-device", f"pxb-pcie,id=far,bus_nr=128,numa_node={shape.nodes - 1}"]


def function_properties(shape: Shape, index: int) -> str:
    """Returns the properties of a physical function, as ``-device`` wants them."""
    subsystem = 0 if shape.one_subsystem else index
    properties = [
        "nvme", f"id=nvme{index}", f"serial=nvme-rs-{subsystem}",
        f"subsys=subsystem{subsystem}", f"bus=port{index}",
        f"max_ioqpairs={shape.io_queues}",
        f"msix_qsize={shape.io_queues + 1}",
        f"dbcs={'on' if shape.shadow_doorbells else 'off'}",
    ]
    if shape.intel_id:
        properties.append("use-intel-id=on")
    if shape.vfs:
        properties += [
            f"sriov_max_vfs={shape.vfs}",
            f"sriov_vq_flexible={shape.vq_flexible}",
            f"sriov_vi_flexible={shape.vi_flexible}",
            f"sriov_max_vq_per_vf={shape.vf_limit}",
            f"sriov_max_vi_per_vf={shape.vf_limit}",
        ]
    if shape.cmb_mib:
        properties += [
            f"cmb_size_mb={shape.cmb_mib}",
            f"legacy-cmb={'on' if shape.legacy_cmb else 'off'}",
        ]
    return ",".join(properties)


def _controller(shape: Shape, index: int, folder: Path) -> list[str]:
    """Returns the options for a port, a subsystem and its namespaces."""
    port = "pcie-root-port"
    if shape.switch:
        port = f"xio3130-downstream,bus=switch,slot={index}"
    elif shape.nodes > 1:
        port += ",bus=far"
    if shape.plain_ports:
        port += ",hotplug=off,x-speed=2_5"
    options = [
        "-device", f"{port},id=port{index},chassis={index + 1}",
        "-device", f"nvme-subsys,id=subsystem{index}",
        "-device", function_properties(shape, index),
    ]
    if shape.one_subsystem and index:
        return options
    formats = dict(enumerate(shape.formats, shape.first_formatted_nsid))
    for nsid in range(1, shape.first_formatted_nsid + len(formats)):
        name = f"disk{index}-{nsid}"
        size = shape.namespace_mib * _MIB
        if shape.null:
            backend = f"null-co,node-name={name},size={size},read-zeroes=on"
        else:
            path = folder / name
            with path.open("wb") as disk:
                disk.truncate(size)
            backend = (f"raw,node-name={name},file.driver=file,file.filename={path},"
                       "cache.no-flush=on,discard=unmap")
        waits = FIRST_PRIVATE_NSID <= nsid < shape.first_formatted_nsid
        shared = "on" if shape.shared or not waits else "off"
        detached = "on" if waits else "off"
        layout = formats.get(nsid, Format())
        zones = (f",zoned=on,zoned.zone_size={ZONE_MIB}M,"
                 f"zoned.zone_capacity={ZONE_MIB * 3 // 4}M,"
                 f"zoned.max_open={ZONES_OPEN},zoned.max_active={ZONES_ACTIVE}"
                 if layout.zoned else "")
        options += [
            "-blockdev", backend,
            "-device", f"nvme-ns,id=namespace{index}-{nsid},drive={name},"
                       f"bus=nvme{index},nsid={nsid},"
                       f"shared={shared},detached={detached},"
                       f"logical_block_size={layout.block},"
                       f"physical_block_size={layout.block},ms={layout.metadata},"
                       f"mset={layout.extended:d},pi={layout.protection},"
                       f"pil={layout.first:d}{zones}"
                       + (f",eui64={_EUI64 + nsid}" if shape.same_ids else ""),
        ]
    return options
