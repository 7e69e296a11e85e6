# SPDX-License-Identifier: GPL-2.0
"""The machine under test: a QEMU guest with NVMe controllers."""

import asyncio
import base64
import itertools
import os
import re
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

from guest import accelerator, image
from guest.kernel import Kernel
from guest.log import KernelLog

T = TypeVar("T")

_BOOT_LIMIT = 120.0
"""Seconds for booting; TCG on a busy host needs 20."""
_PATIENCE = float(os.environ["NVME_RS_PATIENCE"])
"""By how much all limits are longer than they say, for slow kernels."""
_PARAMETERS = os.environ["NVME_RS_PARAMETERS"]
"""Further parameters of the kernel."""
_OUT, _ERR = "/run/machine.out", "/run/machine.err"
"""What the guest's last command wrote."""
_MIB = 1 << 20
_MEMORY_MIB = 2048
_EUI64 = 0x525400 << 40
"""What the same identifiers begin with: the OUI of QEMU's devices."""

ZONE_MIB = 4
ZONES_OPEN, ZONES_ACTIVE = 3, 5
"""How many zones of a namespace can be open, and active, at a time."""
FIRST_PRIVATE_NSID = 2
"""The first of the namespaces that are attached to no controller at boot."""


@dataclass(frozen=True)
class Format:
    """What a namespace's logical blocks are made of."""

    block: int = 512
    """Bytes of data in a block."""
    metadata: int = 0
    """Bytes of metadata that each block has."""
    extended: bool = False
    """Whether the metadata follows the block's data, in the same buffer."""
    protection: int = 0
    """The type of protection information in the metadata; 0 for none."""
    first: bool = False
    """Whether that is in the first bytes of the metadata, not in the last."""
    zoned: bool = False
    """Whether it has zones of ZONE_MIB, the last quarter of which is not there."""


@dataclass(frozen=True)
class Shape:
    """What a machine is made of.

    Each controller is a physical function. Namespace 1 is attached to every controller of its subsystem; those from
    FIRST_PRIVATE_NSID on wait to be attached.
    """

    cpus: int = 4
    nodes: int = 1
    """NUMA nodes, which the CPUs are divided among. With several, all controllers are
    next to the last."""
    controllers: int = 1
    one_subsystem: bool = False
    """Whether all controllers are of one subsystem, that of the first. The ids of
    the second one's secondary controllers come after the first one's."""
    vfs: int = 8
    """TotalVFs of each controller; 0 for controllers without SR-IOV."""
    vq_flexible: int = 24
    """Queue resources of the flexible pool; one queue pair each."""
    vi_flexible: int = 24
    """Interrupt resources of the flexible pool."""
    vf_limit: int = 6
    """The most queue, and interrupt, resources that one VF can hold."""
    io_queues: int = 32
    """I/O queue pairs of a controller, the flexible ones included."""
    intel_id: bool = False
    """Whether the controllers have QEMU's former ids, 8086:5845."""
    namespaces: int = 8
    """How many namespaces wait to be attached."""
    namespace_mib: int = 64
    shared: bool = True
    """Whether several controllers can have one of those namespaces."""
    same_ids: bool = False
    """Whether namespaces of different subsystems have the same EUI64."""
    formats: tuple[Format, ...] = ()
    """A namespace of each of these formats is attached to every controller, behind
    the other namespaces."""
    shadow_doorbells: bool = True
    """Whether controllers know doorbells in memory (Doorbell Buffer Config)."""
    cmb_mib: int = 0
    """The memory buffer of each controller, which must have no SR-IOV then; 0 for none."""
    legacy_cmb: bool = False
    """Whether the buffer is as before revision 1.4, without CMBMSC."""
    switch: bool = False
    """Whether all controllers are behind one switch."""
    watched_locks: bool = True
    """Whether lockdep watches device locks, on the debug kernel. The PCI core's error
    recovery takes them with pci_bus_sem held, and its bus reset takes that with them."""
    plain_ports: bool = False
    """Whether root ports are of the first generation, and not for hot-plug. The link
    below such a port comes back after a reset of its bus; below others it does not."""
    iommu: bool = False
    """Whether an Intel IOMMU translates what devices access."""
    null: bool = False
    """Whether namespaces keep nothing, and read as zeroes, which costs no time."""
    counted: bool = False
    """Whether QEMU counts the instructions of the guest, each of which takes one
    nanosecond of its time."""

    @property
    def first_formatted_nsid(self) -> int:
        """The first of the namespaces that ``formats`` are of."""
        return FIRST_PRIVATE_NSID + self.namespaces


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    rc: int
    out: str
    err: str
    """Empty, if the exit status is 0."""


class MachineError(Exception):
    """Something that a test expected of the machine did not happen."""


class MachineDied(MachineError):
    """QEMU ended: the kernel panicked, or powered off."""


class CommandFailed(MachineError):
    """A command in the guest had an exit status other than 0."""


class Timeout(MachineError):
    """Something took longer than its limit."""


class Machine:
    """A running guest.

    Commands go through the QEMU guest agent, ``qmp`` is QEMU's own monitor, and
    ``log`` is the kernel log, read from the serial console.
    """

    def __init__(self, shape: Shape) -> None:
        """Boots a guest of ``shape``."""
        self.shape = shape
        self.lost_functions = False
        """Whether the kernel has lost the memory of functions that were pulled out."""
        self._folder = tempfile.TemporaryDirectory(prefix="machine-")
        self._marks = itertools.count(1)
        folder = Path(self._folder.name)
        kernel = Kernel.from_environment()
        self.initramfs = folder / "initramfs"
        """What the guest boots with, beside its kernel."""
        image.initramfs(kernel, self.initramfs)

        console = folder / "console"
        console.touch()
        self.log = KernelLog(console)
        self.terminal = folder / "terminal"
        """The socket behind the guest's /dev/hvc0."""

        self._output = folder / "output"
        with self._output.open("wb") as output:
            # QEMU must not outlive the process that asked for it.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64",
                 *_options(shape, kernel, folder)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )
        try:
            self.qmp = self._connect(folder / "qmp", negotiate=True)
            self._agent = self._connect(folder / "agent", negotiate=False)
            self.wait_for_boot()
        except BaseException as error:
            error.add_note(self.log.all())
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether QEMU still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends the guest as a power cut would."""
        self._process.kill()
        self._process.wait()
        for channel in ("qmp", "_agent"):
            if hasattr(self, channel):
                try:
                    getattr(self, channel).close()
                except (OSError, EOFError, QMPError):
                    pass  # QEMU is gone, and that breaks the connection.
        self._folder.cleanup()

    def run(self, command: str, timeout: float = 60, check: bool = True) -> Result:
        """Runs ``command`` in the guest's shell, for ``timeout`` seconds at most.

        Raises CommandFailed for an exit status other than 0, if ``check``.
        """
        # The guest agent would lose output now and then: it closes a pipe once poll()
        # says that its writer is gone and does not say that there is something to
        # read. The kernel may say so of a pipe that was written to in between.
        pid = self.spawn(f"exec > {_OUT} 2> {_ERR}\n{command}")
        timeout *= _PATIENCE
        deadline = time.monotonic() + timeout
        pause = 0.01
        while not (status := self._status(pid))["exited"]:
            if time.monotonic() > deadline:
                # What every task waits for, for whoever reads the log.
                self.spawn(f"kill -9 {pid}; echo w > /proc/sysrq-trigger")
                time.sleep(2)
                raise Timeout(f"not done in {timeout} s: {command}")
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        rc = _exit_status(status)
        result = Result(rc, self.get(_OUT).decode(errors="replace"),
                        self.get(_ERR).decode(errors="replace") if rc else "")
        if check and result.rc:
            raise CommandFailed(
                f"exit status {result.rc}: {command}\n{result.out}{result.err}")
        return result

    def spawn(self, command: str) -> int:
        """Starts ``command`` in the guest's shell, and returns its process id."""
        started: Any = self._ask(30, "guest-exec", path="/bin/sh", arg=["-c", command])
        return started["pid"]

    def finish(self, pid: int, timeout: float = 60) -> int:
        """Waits for a process of spawn() and returns its exit status."""
        def ended() -> dict[str, Any] | None:
            status = self._status(pid)
            return status if status["exited"] else None
        return _exit_status(self.wait_for(ended, f"end of process {pid}", timeout))

    def read(self, path: str) -> str:
        """Returns the content of a file of the guest, ends stripped."""
        return self.run(f"cat '{path}'").out.strip()

    def get(self, path: str) -> bytes:
        """Returns a file of the guest, byte for byte."""
        handle = self._ask(30, "guest-file-open", path=path, mode="r")
        data = b""
        more = True
        while more:
            part: Any = self._ask(30, "guest-file-read", handle=handle, count=_MIB)
            data += base64.b64decode(part["buf-b64"])
            more = not part["eof"]
        self._ask(30, "guest-file-close", handle=handle)
        return data

    def put(self, path: str, data: bytes) -> None:
        """Writes ``data`` to a file of the guest."""
        handle = self._ask(30, "guest-file-open", path=path, mode="w")
        for start in range(0, len(data), _MIB):
            part = base64.b64encode(data[start:start + _MIB]).decode()
            self._ask(30, "guest-file-write", handle=handle,
                      **{"buf-b64": part})
        self._ask(30, "guest-file-close", handle=handle)

    def wait_for(self, condition: Callable[[], T | None], what: str,
                 timeout: float = 20) -> T:
        """Returns the first true value of ``condition``.

        Raises Timeout, which names ``what``, after ``timeout`` seconds.
        """
        timeout *= _PATIENCE
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise Timeout(f"not in {timeout} s: {what}")
            time.sleep(0.1)
        return value

    def wait_for_boot(self) -> None:
        """Waits until the guest agent of the next kernel is there."""
        # It answers what was asked before it was there.
        self._ask(_BOOT_LIMIT, "guest-ping")

    def wait_for_off(self, timeout: float = 60) -> None:
        """Waits until the guest has powered off, where QEMU is to go on after that."""
        self.wait_for(lambda: self.qmp.cmd("query-status")["status"] == "shutdown",
                      "power-off", timeout)

    def wait_for_end(self, timeout: float = 60) -> None:
        """Waits until the guest has powered off."""
        timeout *= _PATIENCE
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Timeout(f"still running after {timeout} s") from None

    def sync_log(self) -> None:
        """Waits until the log has all that the kernel has said so far."""
        mark = f"machine: mark {next(self._marks)}"
        self.run(f"echo '{mark}' > /dev/kmsg")
        self.wait_for(lambda: mark in self.log.window(), mark)

    def unplug(self, index: int = 0) -> None:
        """Begins to pull a controller out of its slot, as by its button."""
        # Each VF has a reference to its PF. Hot-plug rids the slot of its functions
        # from the last one on, and the PCI core gives up the references only of those
        # VFs that are still there when it comes to the PF.
        if not self.run("ls -d /sys/bus/pci/devices/*/physfn", check=False).rc:
            self.lost_functions = True
        self.qmp.cmd("device_del", id=f"nvme{index}")

    def wait_for_ejection(self) -> None:
        """Waits until the guest is done with a slot out of which a function has gone: of
        what comes into it before that, the rest of the work would rid it, too."""
        # QEMU's ACPI tables ask for the ejection of each function that the slot had at
        # boot, VFs included, and each of the requests empties all of the slot. They
        # wait in one queue; between two of them its worker is idle for a moment.
        self.run("""
            quiet=0
            while [ $quiet -lt 3 ]; do
                sleep 0.05
                if cat /proc/[0-9]*/comm 2> /dev/null | grep -qF +kacpi_hotplug; then
                    quiet=0
                else
                    quiet=$((quiet + 1))
                fi
            done""")

    def plug(self, index: int = 0, shape: Shape | None = None) -> None:
        """Puts a controller in the slot of the one that was pulled out: one like
        it, or one of another shape."""
        self.wait_for_ejection()
        # QMP wants the type of each property; the human monitor knows them.
        said = self.hmp(f"device_add {_function(shape or self.shape, index)}").strip()
        if said:
            raise MachineError(said)

    def hmp(self, command: str) -> str:
        """Runs a command of QEMU's human monitor."""
        return str(self.qmp.cmd("human-monitor-command",
                                **{"command-line": command}))

    def _status(self, pid: int) -> dict[str, Any]:
        status: Any = self._ask(30, "guest-exec-status", pid=pid)
        return status

    def _ask(self, timeout: float, command: str, **arguments: object) -> object:
        """Has the guest agent execute ``command``."""
        timeout *= _PATIENCE
        self._agent.settimeout(timeout)
        try:
            return self._agent.cmd(command, **arguments)
        except asyncio.TimeoutError:
            raise Timeout(f"the guest agent is silent for {timeout} s\n"
                          f"{self._where()}") from None
        except (OSError, EOFError, QMPError) as error:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                raise MachineError(f"guest agent: {error}") from error
            raise MachineDied(self._last_words()) from None

    def _where(self) -> str:
        """Ends a guest that does not react: returns where its processors are, and has
        the log say how they came there."""
        self.qmp.settimeout(30)
        try:
            registers = self.hmp("info registers -a")
            # It makes the kernel panic, and it can be heard with interrupts off.
            self.qmp.cmd("inject-nmi")
            self._process.wait(30)
        except asyncio.TimeoutError:
            return "nor does QEMU's monitor answer"
        except subprocess.TimeoutExpired:
            registers += "and does not react to an NMI"
        except (OSError, EOFError, QMPError):
            return self._last_words()
        return "\n".join(re.findall(r"^CPU#.*|^[ER]IP=.*|^and .*", registers, re.M))

    def _connect(self, path: Path, negotiate: bool) -> QEMUMonitorProtocol:
        """Returns a connection to a socket that QEMU is about to make."""
        def exists() -> bool:
            if not self.alive:
                raise MachineDied(self._last_words())
            return path.is_socket()
        self.wait_for(exists, f"QEMU's socket {path.name}")
        protocol = QEMUMonitorProtocol(str(path))
        protocol.connect(negotiate)
        return protocol

    def _last_words(self) -> str:
        said = self._output.read_text(errors="replace")
        return f"QEMU ended with status {self._process.returncode}\n{said}"


def boot(shape: Shape) -> Machine:
    """Boots a machine of ``shape``.

    An emulated guest with several CPUs now and then hangs, or panics, before its
    init, and so before it has the driver: then, once, another is booted. Later on,
    nothing excuses either.
    """
    try:
        return Machine(shape)
    except (Timeout, MachineDied) as error:
        warnings.warn("\n".join([str(error), *error.__notes__]))
        return Machine(shape)


def _exit_status(status: dict[str, Any]) -> int:
    """Returns the exit status of a process that has ended; a signal counts as in a shell."""
    found: int = status.get("exitcode", 128 + status.get("signal", 0))
    return found


def _options(shape: Shape, kernel: Kernel, folder: Path) -> list[str]:
    """Returns QEMU's options."""
    command_line = [
        "console=ttyS0", "loglevel=5", "oops=panic", "panic=-1",
        # How a guest ends that does not react, see _where().
        "unknown_nmi_panic", "panic_sys_info=all_bt",
        # On a busy host, an emulated timer may miss the ticks that boot counts.
        "no_timer_check",
        _PARAMETERS,
        # The BIOS reads a whole block into the 512 bytes that the kernel has for it.
        "edd=off",
        f"sysctl.kernel.hung_task_timeout_secs={30 * _PATIENCE:.0f}",
        f"sysctl.kernel.watchdog_thresh={min(10 * _PATIENCE, 60):.0f}",
    ]
    if shape.iommu:
        command_line.append("intel_iommu=on")
    options = [
        "-machine", "q35",
        *(accelerator.COUNTING if shape.counted else accelerator.options()),
        "-smp", f"{shape.cpus},sockets={shape.nodes}", "-m", f"{_MEMORY_MIB}M",
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-kernel", str(kernel.image), "-initrd", str(folder / "initramfs"),
        "-append", " ".join(command_line),
        "-serial", f"file:{folder / 'console'}",
        "-qmp", f"unix:{folder / 'qmp'},server=on,wait=off",
        "-chardev", f"socket,id=agent,path={folder / 'agent'},"
                    "server=on,wait=off",
        "-chardev", f"socket,id=terminal,path={folder / 'terminal'},"
                    "server=on,wait=off",
    ]
    if shape.iommu:
        options += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
    options += [
        "-device", "virtio-serial-pci",
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        "-device", "virtconsole,chardev=terminal",
    ]
    options += _nodes(shape)
    if shape.switch:
        options += ["-device", "pcie-root-port,id=root,chassis=100",
                    "-device", "x3130-upstream,id=switch,bus=root"]
    for index in range(shape.controllers):
        options += _controller(shape, index, folder)
    return options


def _nodes(shape: Shape) -> list[str]:
    """Returns the options for NUMA nodes, and for a bus next to the last of them."""
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


def _function(shape: Shape, index: int) -> str:
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
        "-device", _function(shape, index),
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
