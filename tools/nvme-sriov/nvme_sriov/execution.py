# SPDX-License-Identifier: GPL-2.0
"""Makes the changes of a plan, and undoes them if one of them fails."""

from collections.abc import Callable, Sequence

from nvme_sriov.driver import load
from nvme_sriov.failure import Failure
from nvme_sriov.physical import PhysicalFunction
from nvme_sriov.plan import (
    Bind, Change, Disable, Enable, Load, Probe, Set, State, Unbind)
from nvme_sriov.setting import DEFAULT_DRIVER, NO_DRIVER
from nvme_sriov.use import disk_user, user
from nvme_sriov.virtual import VirtualFunction

Undo = Callable[[], None]


def check_unused(pf: PhysicalFunction, changes: Sequence[Change]) -> None:
    """Raises if a VF that is to lose its driver, or a namespace, is in use."""
    for change in changes:
        match change:
            case Disable(before):
                found = [(vf, user(vf)) for vf in pf.vfs[:before.vfs]]
            case Unbind(index):
                found = [(pf.vf(index), user(pf.vf(index)))]
            case Set(index, "namespaces", old, new):
                lost = {*old.namespaces} - {*new.namespaces}
                found = [(pf.vf(index), disk_user(pf.vf(index), lost))]
            case _:
                continue
        for vf, what in found:
            if what:
                raise Failure(f"{vf}: in use: {what}; --force goes on nevertheless")


def execute(pf: PhysicalFunction, changes: Sequence[Change]) -> None:
    """Makes all changes, or none: if one fails, those before it are undone."""
    undos: list[Undo] = []
    try:
        for change in changes:
            undos += _undos(pf, change)
            _make(pf, change)
    except BaseException as error:
        said = str(error) if isinstance(error, Failure) else f"{pf}: interrupted"
        if not pf.exists:
            raise Failure(f"{said}; the function is gone") from error
        left = _undo(undos)
        if left:
            raise Failure(f"{said}; not undone: {'; '.join(left)}") from error
        raise


def _undo(undos: list[Undo]) -> list[str]:
    """Undoes what was done, and returns what cannot be undone."""
    left = []
    for undo in reversed(undos):
        try:
            undo()
        except Failure as error:
            left.append(str(error))
    return left


def _make(pf: PhysicalFunction, change: Change) -> None:
    match change:
        case Load(driver):
            load(pf.sysfs, driver)
        case Disable():
            pf.disable()
        case Enable(count, drivers):
            _enable(pf, count, drivers)
        case Set(index, name, _, new):
            pf.vf(index).set(name, new.words(name))
        case Unbind(index):
            pf.vf(index).unbind()
        case Bind(index, driver, override, reserved):
            _bind(pf.vf(index), driver, driver if reserved else override)
        case Probe(index):
            pf.vf(index).probe()


def _undos(pf: PhysicalFunction, change: Change) -> list[Undo]:
    """Returns what undoes a change, also if it was made in part."""
    match change:
        case Disable(before):
            return [lambda: _restore(pf, before)]
        case Enable():
            return [lambda: _disable(pf)]
        case Set(index, name, old):
            return [lambda: _set_back(pf.vf(index), name, old.words(name))]
        case Unbind(index, driver):
            override = pf.vf(index).override
            return [lambda: _give_back(pf.vf(index), driver, override)]
        case Bind(index, _, override):
            return [lambda: _take_away(pf.vf(index), override)]
    return []


def _set_back(vf: VirtualFunction, name: str, words: str) -> None:
    if vf.setting.words(name) != words:
        vf.set(name, words)


def _disable(pf: PhysicalFunction) -> None:
    if pf.enabled:
        pf.disable()


def _enable(pf: PhysicalFunction, count: int, drivers: Sequence[str | None]) -> None:
    """Enables VFs; those for which drivers are said get no other ones. The PCI core probes VFs
    a moment after they are enabled, so they are reserved before it may."""
    if not any(drivers):
        pf.enable(count)
        return
    with pf.autoprobe(False):
        pf.enable(count)
        for vf, driver in zip(pf.vfs, drivers):
            if driver and driver != DEFAULT_DRIVER:
                vf.reserve(driver)


def _restore(pf: PhysicalFunction, before: State) -> None:
    """Enables the VFs that were disabled, with the drivers that they had."""
    if pf.enabled:
        return
    functions = before.functions[:before.vfs]
    _enable(pf, before.vfs, [function.driver or NO_DRIVER for function in functions])
    for vf, function in zip(pf.vfs, functions):
        if function.driver:
            _bind(vf, function.driver, function.driver)
    for vf, function in zip(pf.vfs, functions):
        vf.reserve(function.override)


def _give_back(vf: VirtualFunction, driver: str, override: str) -> None:
    vf.reserve(override)
    if vf.driver is None:
        _bind(vf, driver, override)


def _take_away(vf: VirtualFunction, override: str) -> None:
    vf.unbind()
    vf.reserve(override)


def _bind(vf: VirtualFunction, driver: str, override: str) -> None:
    """Gives a VF its driver. Only the bus looks for one without a name."""
    if driver == DEFAULT_DRIVER:
        vf.reserve("")
        vf.probe()
        if vf.driver is None:
            raise Failure(f"{vf}: no driver has bound; the kernel log may say why")
        return
    if driver == NO_DRIVER:
        vf.reserve(override)
        return
    vf.reserve(override)
    try:
        vf.bind(driver)
    except Failure:
        # The bus may have been faster.
        if vf.driver != driver:
            raise
