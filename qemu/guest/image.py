# SPDX-License-Identifier: GPL-2.0
"""The guest's initramfs: busybox, the tools of the tests, and modules.

The initramfs consists of cpio archives. Those that do not depend on the build of the driver
are kept in the cache: one with what every guest has, and Python for guests that run it. The
last one holds the modules that were built here.
"""

import hashlib
import lzma
import os
import py_compile
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from guest.kernel import Kernel

MODULE = Path(os.environ["NVME_RS_MODULE"])
DEBUG_MODULES = MODULE.parent / "qemu/modules"
"""Modules for the guests of a debug kernel."""
HAS_DETECTORS = (DEBUG_MODULES / "seeded.ko").exists()
"""Whether the kernel is the debug kernel."""
IN_GUEST = Path("/root")
"""The folder of the modules in the guest."""
MODULE_IN_GUEST = f"{IN_GUEST}/nvme_rs.ko"

_PROGRAMS_FOLDER = Path(os.environ["NVME_RS_GUEST"] or "/")
"""The folder with the programs of guests: the root folder, if they have its architecture."""
_DAY = 24 * 3600.0
_PAGE = 4096

PROGRAMS = (
    "/usr/bin/fio",
    "/usr/bin/lspci",
    "/usr/bin/qemu-io",
    "/usr/sbin/kexec",
    "/usr/sbin/nvme",
    "/usr/sbin/qemu-ga",
)
PYTHON = "/usr/bin/python3"
_PYTHON_PACKAGES = "collections", "encodings", "importlib", "json", "pathlib", "re"
"""The packages of Python's standard library; modules that are in no package are there, too."""
MODULES = (
    "nvme",
    "vfio-pci",
    "vfio_iommu_type1",
)


def initramfs(kernel: Kernel, to: Path, python: bool = False) -> None:
    """Writes the initramfs for ``kernel``, with the modules of the last build. ``python`` is 16 MB
    that most guests need not read."""
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch)
        target = stage / IN_GUEST.relative_to("/")
        target.mkdir(parents=True)
        for module in (MODULE, *DEBUG_MODULES.glob("*.ko")):
            shutil.copy(module, target)
        modules = _cpio(stage)
    with to.open("wb") as out:
        for archive in (_base(kernel), *([_python()] if python else [])):
            with archive.open("rb") as part:
                shutil.copyfileobj(part, out)
        out.write(modules)
        # QEMU puts it at the end of memory. What is no multiple of a page reaches into what the
        # BIOS keeps, and the kernel moves all of it, to memory that kmemleak reads for ever.
        out.truncate(-(-out.tell() // _PAGE) * _PAGE)


def _base(kernel: Kernel) -> Path:
    """Returns the archive of what every guest has."""
    files = ""
    for module in sorted(_find_modules(kernel).values()):
        status = module.stat()
        files += f"{module} {status.st_size} {status.st_mtime_ns}\n"
    return _cached(kernel.abi, files, lambda stage: _stage(kernel, stage))


def _python() -> Path:
    """Returns the archive of Python."""
    return _cached("python", "", _stage_python)


def _cached(name: str, depends: str, make: Callable[[Path], None]) -> Path:
    """Returns an archive of the files that ``make`` puts into a folder, from the cache or newly
    made. They may depend on the build root, and on what is told in ``depends``."""
    key = hashlib.sha256()
    for source in (__file__, _source("init"), "/var/lib/dpkg/status"):
        key.update(Path(source).read_bytes())
    key.update(f"{_PROGRAMS_FOLDER}{depends}".encode())

    folder = Path(os.environ["NVME_RS_CACHE"]) / "initramfs"
    archive = folder / f"{name}-{key.hexdigest()[:16]}.cpio"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            stage = Path(scratch) / "root"
            stage.mkdir()
            make(stage)
            part = Path(scratch) / "part"
            part.write_bytes(_cpio(stage))
            part.rename(archive)
        _delete_unused(folder)
    archive.touch()
    return archive


def _delete_unused(folder: Path) -> None:
    """Deletes archives that no clone has used for a day; all clones share the cache."""
    for archive in folder.glob("*.cpio"):
        # Another clone may delete the archive at the same time.
        with suppress(FileNotFoundError):
            if time.time() - archive.stat().st_mtime > _DAY:
                archive.unlink()


def _source(name: str) -> Path:
    return Path(__file__).with_name(name)


def _stage(kernel: Kernel, stage: Path) -> None:
    """Creates the root folder of the guest."""
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "root", "etc",
                 "dev", "proc", "sys", "run", "tmp"):
        (stage / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (stage / name).symlink_to(f"usr/{name}")
    shutil.copy(_source("init"), stage / "init")
    (stage / "etc/passwd").write_text("root::0:0:root:/root:/bin/sh\n")
    (stage / "etc/profile").write_text("PS1='guest:\\w# '\n")

    shutil.copy(_PROGRAMS_FOLDER / "usr/bin/busybox", stage / "usr/bin/busybox")
    # The root's own is of the same version, with the same applets.
    applets = _output("busybox", "--list").split()
    for applet in set(applets) - {"busybox"}:
        (stage / "usr/bin" / applet).symlink_to("busybox")

    _stage_programs(PROGRAMS, stage)

    target = stage / "lib/modules" / kernel.abi
    target.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        (target / name).touch()     # depmod asks for them
    for name, module in _find_modules(kernel).items():
        content = module.read_bytes()
        if module.suffix == ".xz":
            content = lzma.decompress(content)
        (target / f"{name}.ko").write_bytes(content)
    _output("depmod", "-b", str(stage), kernel.abi)


def _stage_programs(names: tuple[str, ...], stage: Path) -> None:
    """Copies programs, and the libraries that they need."""
    programs = [_PROGRAMS_FOLDER / name.lstrip("/") for name in names]
    for file in (*programs, *_libraries(programs)):
        target = stage / file.relative_to(_PROGRAMS_FOLDER)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def _stage_python(stage: Path) -> None:
    """Compiles Python's standard library: an emulated guest would take long."""
    _stage_programs((PYTHON,), stage)
    library = Path(sysconfig.get_path("stdlib"))
    sources = [*library.glob("*.py")]
    for package in _PYTHON_PACKAGES:
        sources += (library / package).rglob("*.py")
    for source in sources:
        target = (stage / source.relative_to("/")).with_suffix(".pyc")
        py_compile.compile(str(source), str(target), str(source), doraise=True, optimize=2,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    # What is in it is not needed, but Python complains if it is missing.
    (stage / library.relative_to("/") / "lib-dynload").mkdir()


def _libraries(programs: list[Path]) -> set[Path]:
    """Returns the shared libraries that ``programs`` need, their dynamic linker included."""
    usr = _PROGRAMS_FOLDER / "usr"
    found: set[Path] = set()
    wanted = programs
    while wanted:
        said = _output("readelf", "--wide", "--program-headers", "--dynamic",
                       *map(str, wanted))
        found.update(_PROGRAMS_FOLDER / "usr" / path for path in re.findall(
            r"Requesting program interpreter: /(.+)\]", said))
        names = re.findall(r"\(NEEDED\) +Shared library: \[(.+)\]", said)
        # Some libraries name a folder of their own.
        folders = "lib/*-linux-gnu", "lib", "lib64", "lib/*-linux-gnu/*"
        libraries = {next(path for folder in folders for path in usr.glob(f"{folder}/{name}"))
                     for name in set(names)}
        wanted = list(libraries - found)
        found |= libraries
    return found


def _find_modules(kernel: Kernel) -> dict[str, Path]:
    """Returns name and file of MODULES and of all that they depend on.

    A module that the kernel has built in, or lacks, is left out.
    """
    files = {
        re.sub(r"\.ko(\.xz)?$", "", path.name).replace("-", "_"): path
        for path in kernel.modules.glob("kernel/**/*.ko*")
    }
    found: dict[str, Path] = {}
    wanted = [name.replace("-", "_") for name in MODULES]
    while wanted:
        name = wanted.pop()
        if name in found or name not in files:
            continue
        found[name] = files[name]
        depends = _output("modinfo", "-F", "depends", str(files[name])).strip()
        wanted += [d.replace("-", "_") for d in depends.split(",") if d]
    return found


def _cpio(stage: Path) -> bytes:
    """Returns everything below ``stage`` as a newc archive, padded for another."""
    names = sorted(str(p.relative_to(stage)) for p in stage.rglob("*"))
    return subprocess.run(
        ["cpio", "--create", "--null", "--quiet", "--format=newc",
         "--owner=0:0", "--reproducible"],
        cwd=stage, input="\0".join(names).encode(), stdout=subprocess.PIPE,
        check=True,
    ).stdout


def _output(*command: str) -> str:
    return subprocess.run(
        command, stdout=subprocess.PIPE, check=True, text=True
    ).stdout
