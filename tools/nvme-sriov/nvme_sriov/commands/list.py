# SPDX-License-Identifier: GPL-2.0
"""``list``: PFs, their flexible resources and their VFs."""

import argparse
from collections.abc import Sequence

from nvme_sriov.commands.common import add_devices, add_json, devices, print_json
from nvme_sriov.physical import PhysicalFunction, discover
from nvme_sriov.setting import KINDS
from nvme_sriov.sysfs import Sysfs
from nvme_sriov.virtual import VirtualFunction

_ROW = "  {:<5} {:<13} {:<9} {:<8} {:>6} {:>6} {:>6} {:>6} {:>6}  {:<12} {}"


def add(parser: argparse.ArgumentParser) -> None:
    """Describes the command line."""
    add_devices(parser)
    add_json(parser)


def run(sysfs: Sysfs, args: argparse.Namespace) -> int:
    """Prints the table, or JSON."""
    found = devices(sysfs, args.device) if args.device else discover(sysfs)
    if args.format == "json":
        print_json({"physical_functions": [_describe(pf) for pf in found]})
        return 0
    for pf in found:
        _print(pf)
    return 0


def _describe(pf: PhysicalFunction) -> dict[str, object]:
    return {
        "address": pf.address, "controller": pf.controller, "driver": pf.driver,
        "serial": pf.serial, "model": pf.identity("model"),
        "total_vfs": pf.total, "enabled_vfs": pf.enabled,
        **({kind: pf.pool(kind) for kind in KINDS} if pf.manages else {}),
        "vfs": [_describe_vf(vf) for vf in pf.vfs if pf.manages or vf.address],
    }


def _describe_vf(vf: VirtualFunction) -> dict[str, object]:
    found: dict[str, object] = {
        "vf": vf.index, "address": vf.address, "controller": vf.controller,
        "driver": vf.driver}
    if not vf.pf.manages:
        return found
    setting = vf.setting
    return found | {
        "state": vf.attribute("state"), "cntlid": vf.number("cntlid"),
        "queues": setting.queues, "assigned_queues": vf.number("assigned_queues"),
        "interrupts": setting.interrupts,
        "assigned_interrupts": vf.number("assigned_interrupts"),
        "namespaces": list(setting.namespaces), "attached": list(vf.numbers("attached")),
    }


def _print(pf: PhysicalFunction) -> None:
    print(pf.address, pf.controller or "-", f"driver {pf.driver or '-'}",
          f"serial {pf.serial or '-'}:", pf.enabled, "of", pf.total, "VFs enabled")
    if pf.manages:
        for kind in KINDS:
            _print_pool(kind, pf.pool(kind))
        _row("", "", "", "", "", "queues", "", "interr.", "", "namespaces", "")
    _row(*["VF", "address", "driver", "state", "cntlid", "want", "has", "want", "has",
           "want", "has"][:None if pf.manages else 3])
    for vf in pf.vfs:
        if pf.manages:
            _row(f"vf{vf.index}", vf.address or "-", vf.driver or "-",
                 _known(vf.attribute("state")), _known(vf.number("cntlid")),
                 vf.setting.queues or "-", _known(vf.number("assigned_queues")),
                 vf.setting.interrupts or "-", _known(vf.number("assigned_interrupts")),
                 _list(vf.setting.namespaces), _list(vf.numbers("attached")))
        elif vf.address:
            _row(f"vf{vf.index}", vf.address, vf.driver or "-")


def _print_pool(kind: str, pool: dict[str, int]) -> None:
    limit = f"; a VF can have {pool['vf_max']}" if pool.get("vf_max") else ""
    print(f"  {kind}: {pool.get('total', 0)} flexible, {pool.get('primary', 0)} with the PF,"
          f" {pool.get('assigned', 0)} with VFs, {pool.get('free', 0)} free{limit}")


def _row(*columns: object) -> None:
    row = [*columns] + [""] * (11 - len(columns))
    print(_ROW.format(*map(str, row)).rstrip())


def _known(value: object) -> object:
    return "?" if value is None else value


def _list(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers)) or "-"
