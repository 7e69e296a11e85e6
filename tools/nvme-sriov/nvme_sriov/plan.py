# SPDX-License-Identifier: GPL-2.0
"""The changes that make a PF what it is to be: a pure function of what is and what is wanted.

Nothing that is so already is changed. Other numbers of VFs have all VFs disabled first, as the PCI core
has it. Resources of an enabled VF are changed while it has no driver, which gets it back.
"""

from dataclasses import dataclass

from nvme_sriov.declaration import Declaration
from nvme_sriov.physical import PhysicalFunction
from nvme_sriov.setting import DEFAULT_DRIVER, KINDS, NO_DRIVER, Setting


@dataclass(frozen=True)
class Function:
    """What a VF is like."""

    setting: Setting = Setting()
    driver: str | None = None
    override: str = ""

    def drives(self, wanted: str | None) -> bool:
        """Returns whether the VF has the driver that is wanted."""
        if wanted is None:
            return True
        if wanted == NO_DRIVER:
            return self.driver is None and self.override == NO_DRIVER
        if wanted == DEFAULT_DRIVER:
            return self.driver is not None and not self.override
        return self.driver == wanted


@dataclass(frozen=True)
class State:
    """What a PF is like."""

    vfs: int
    functions: tuple[Function, ...]
    """All VFs; those from ``vfs`` on are not enabled."""
    probes: bool = True
    """Whether VFs get a driver by themselves when they are enabled."""


def observe(pf: PhysicalFunction) -> State:
    """Returns what a PF is like now."""
    enabled = pf.enabled
    return State(
        enabled,
        tuple(Function(vf.setting, vf.driver, vf.override) for vf in pf.vfs), pf.probes)


@dataclass(frozen=True)
class Change:
    """One change of a PF."""


@dataclass(frozen=True)
class Load(Change):
    """Load the module of a driver."""

    driver: str

    def __str__(self) -> str:
        return f"load {self.driver}"


@dataclass(frozen=True)
class Disable(Change):
    """Disable all VFs."""

    before: State

    def __str__(self) -> str:
        return f"disable {self.before.vfs} VFs"


@dataclass(frozen=True)
class Enable(Change):
    """Enable VFs."""

    count: int
    drivers: tuple[str | None, ...]
    """If one is not None: the drivers for which VFs are reserved before any can bind. Other changes
    bind them."""

    def __str__(self) -> str:
        return f"enable {self.count} VFs"


@dataclass(frozen=True)
class OfVf(Change):
    """A change of VF ``index``."""

    index: int


@dataclass(frozen=True)
class Set(OfVf):
    """Set queues, interrupts or namespaces."""

    name: str
    old: Setting
    new: Setting

    def __str__(self) -> str:
        old, new = (setting.words(self.name) or "none" for setting in (self.old, self.new))
        return f"vf{self.index}: {self.name} {old} -> {new}"


@dataclass(frozen=True)
class Unbind(OfVf):
    """Unbind the driver."""

    driver: str

    def __str__(self) -> str:
        return f"vf{self.index}: unbind {self.driver}"


@dataclass(frozen=True)
class Bind(OfVf):
    """Give the VF, which has no driver, one; or see that it gets none."""

    driver: str
    override: str
    """What alone may bind before."""
    reserved: bool
    """Whether the driver alone may bind from now on."""

    def __str__(self) -> str:
        return f"vf{self.index}: driver {self.driver}"


@dataclass(frozen=True)
class Probe(OfVf):
    """Let any driver have the VF, or none."""

    def __str__(self) -> str:
        return f"vf{self.index}: any driver"


def plan(now: State, wanted: Declaration) -> list[Change]:
    """Returns the changes, in their order."""
    functions = dict(enumerate(now.functions))
    anew = now.vfs != wanted.vfs
    if anew:
        changes: list[Change] = [Disable(now)] if now.vfs else []
        changes += _settings(functions, wanted)
        return changes + (_enable(now, wanted) if wanted.vfs else [])
    sets = _settings(functions, wanted)
    unused = {change.index for change in sets if change.name in KINDS}
    unbinds: list[Change] = []
    binds: list[Change] = []
    for index in range(now.vfs):
        function = functions[index]
        driver = wanted.setting(index).driver
        is_right = function.drives(driver)
        if function.driver and (index in unused or not is_right):
            unbinds.append(Unbind(index, function.driver))
        if not is_right:
            binds.append(_bind(index, str(driver), function.override))
        elif function.driver and index in unused:
            binds.append(Bind(index, function.driver, function.override, False))
    return [*unbinds, *sets, *binds]


def _bind(index: int, driver: str, override: str) -> Change:
    return Bind(index, driver, override, driver != DEFAULT_DRIVER)


def _enable(now: State, wanted: Declaration) -> list[Change]:
    """If a driver is said for any VF, all wait for theirs."""
    drivers = tuple(wanted.setting(index).driver for index in range(wanted.vfs))
    changes: list[Change] = [Enable(wanted.vfs, drivers)]
    for index, driver in enumerate(drivers):
        if driver:
            changes.append(_bind(index, driver, ""))
        elif any(drivers) and now.probes:
            changes.append(Probe(index))
    return changes


def _settings(functions: dict[int, Function], wanted: Declaration) -> list[Set]:
    """Returns the changes of settings. What gives something back comes before what takes
    it."""
    gives: list[Set] = []
    takes: list[Set] = []
    given = {nsid for index, function in functions.items()
             for nsid in function.setting.namespaces
             if nsid not in wanted.setting(index).namespaces}
    for index, function in functions.items():
        old, new = function.setting, wanted.setting(index)
        for kind in KINDS:
            before, after = getattr(old, kind), getattr(new, kind)
            if before != after:
                less = before > after
                (gives if less else takes).append(Set(index, kind, old, new))
        if old.namespaces == new.namespaces:
            continue
        rest = tuple(nsid for nsid in old.namespaces if nsid in new.namespaces)
        if rest == new.namespaces:
            gives.append(Set(index, "namespaces", old, new))
            continue
        if rest != old.namespaces and given & _wanted_by_others(index, functions, wanted):
            between = Setting(namespaces=rest)
            gives.append(Set(index, "namespaces", old, between))
            old = between
        takes.append(Set(index, "namespaces", old, new))
    return gives + takes


def _wanted_by_others(index: int, functions: dict[int, Function],
                      wanted: Declaration) -> set[int]:
    mine = set(functions[index].setting.namespaces)
    return {nsid for other in wanted.settings if other != index
            for nsid in wanted.setting(other).namespaces} & mine
