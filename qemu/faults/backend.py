# SPDX-License-Identifier: GPL-2.0
"""Errors and delays of a namespace's medium, by filters of QEMU's block layer."""

from collections.abc import Iterator
from contextlib import contextmanager

from guest.machine import Machine

_FILTER = "filter"
_GROUP = "group"


@contextmanager
def failing(machine: Machine, nsid: int, *kinds: str,
            sector: int | None = None) -> Iterator[None]:
    """Fails operations of some kinds (read, write, flush, discard, write-zeroes) within
    the block: all of them, or those that touch a sector of 512 bytes."""
    rule: dict[str, object] = {"event": "none", "errno": 5}
    if sector is not None:
        rule["sector"] = sector
    with _filtered(machine, nsid, driver="blkdebug", image=_node(nsid), **{
            "inject-error": [rule | {"iotype": kind} for kind in kinds]}):
        yield


@contextmanager
def slow(machine: Machine, nsid: int, rate: int) -> Iterator[None]:
    """Limits reads and writes to ``rate`` bytes a second within the block. The first one is
    not delayed; those under way at the end of the block are no longer delayed."""
    machine.qmp.cmd("object-add", id=_GROUP, limits={"bps-total": rate},
                    **{"qom-type": "throttle-group"})
    try:
        with _filtered(machine, nsid, driver="throttle", file=_node(nsid),
                       **{"throttle-group": _GROUP}):
            yield
    finally:
        machine.qmp.cmd("object-del", id=_GROUP)


@contextmanager
def _filtered(machine: Machine, nsid: int, **options: object) -> Iterator[None]:
    """Inserts a filter node between a namespace and its data within the block."""
    def set_node(name: str) -> None:
        machine.qmp.cmd("qom-set", path=f"/machine/peripheral/namespace0-{nsid}",
                        property="drive", value=name)
    machine.qmp.cmd("blockdev-add", **{"node-name": _FILTER, **options})
    set_node(_FILTER)
    try:
        yield
    finally:
        set_node(_node(nsid))
        machine.qmp.cmd("blockdev-del", **{"node-name": _FILTER})


def _node(nsid: int) -> str:
    """Returns the name of the data node of a namespace of the first controller."""
    return f"disk0-{nsid}"
