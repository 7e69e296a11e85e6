# SPDX-License-Identifier: GPL-2.0
"""The fixtures of all tests, and the checks after each test.

A machine serves consecutive tests of its shape, until one of them fails or the next test
has another shape. Tests are sorted by that. If the kernel reports a fault, the test that ran fails; the report has
the kernel log since the test began.
"""

import os
import traceback
from collections.abc import Generator, Iterator

import pytest

from guest.errors import MachineError
from guest.log import faults
from guest.machine import Machine, boot
from guest.shape import Shape
from subject.driver import Driver
from subject.functions import PhysicalFunction, physical_functions
from subject.leaks import check_memory, check_references, shorten_scans
from subject.locks import classify_locks

pytest_plugins = ("benchmark.fixtures", "faults.fixtures")
# Without this, a failed assertion in these modules does not show its values.
pytest.register_assert_rewrite("faults.checks", "subject.fake_kernel", "subject.pool")

_LOG_LINES = 300
"""The most lines of a guest's log that a report shows."""

_machine = pytest.StashKey[Machine]()


class Pool:
    """Keeps at most one machine, and replaces it if a test needs another one."""

    def __init__(self, driver: str) -> None:
        self._driver = driver
        self.machine: Machine | None = None

    def get(self, shape: Shape) -> Machine:
        """Returns a running machine of ``shape``."""
        if self.machine and not (self.machine.alive
                                 and self.machine.shape == shape):
            self.retire()
        if self.machine is None:
            machine = boot(shape)
            try:
                shorten_scans(machine)
                classify_locks(machine)
            except BaseException:
                machine.stop()
                raise
            self.machine = machine
        return self.machine

    def retire(self) -> None:
        """Ends the machine, if there is one.

        Raises if the log has a new fault, or if the driver leaks.
        """
        machine, self.machine = self.machine, None
        if machine:
            try:
                if machine.alive:
                    self._check_end(machine)
                check_log(machine)
            except MachineError as error:
                error.add_note(machine.log.window())
                raise
            finally:
                machine.stop()

    def _check_end(self, machine: Machine) -> None:
        driver = Driver(machine, self._driver)
        if driver.loaded:
            check_references(machine, driver.name)
            driver.unload()
        check_memory(machine, last=True)

    def discard(self) -> None:
        """Ends the machine, whatever its log says."""
        machine, self.machine = self.machine, None
        if machine:
            machine.stop()


def check_log(machine: Machine) -> None:
    """Closes the window of the log; raises if the kernel reports a fault in it."""
    if machine.alive:
        machine.sync_log()
    found = faults(machine.log.window())
    if found:
        raise MachineError("the kernel reports a fault:\n" + "\n".join(found))
    machine.log.close_window()


def check(machine: Machine) -> None:
    """Checks the log and memory after a test; raises if one of them has a fault."""
    check_log(machine)
    if machine.alive:
        check_memory(machine)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--driver", default="nvme_rs", choices=("nvme_rs", "nvme"),
        help="the driver under test; nvme is the kernel's own")
    parser.addoption(
        "--every-allocation", action="store_true",
        help="fail each of a thousand allocations, not only those near the driver")


def _shape(item: pytest.Item) -> Shape | None:
    """Returns the shape of the machine that a test needs, if it needs one."""
    if "machine" not in getattr(item, "fixturenames", ()):
        return None
    mark = item.get_closest_marker("shape")
    return mark.args[0] if mark else Shape()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Has tests of one shape follow each other, as a machine takes longer to boot than most
    tests."""
    order: dict[Shape | None, int] = {}
    items.sort(key=lambda item: order.setdefault(_shape(item), len(order)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    machine = item.stash.get(_machine, None)
    if machine:
        # A scan of memory takes as long as a short test: CI does it when a machine ends.
        (check_log if "CI" in os.environ else check)(machine)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
        item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    machine = item.stash.get(_machine, None)
    if machine and report.failed:
        del item.stash[_machine]
        # An exception here would end the run, and the report would be lost.
        try:
            lines = machine.log.window().splitlines()[-_LOG_LINES:]
            report.sections.append(("kernel log", "\n".join(lines)))
            item.session.stash[_pool].discard()
        except Exception:
            report.sections.append(("end of the machine", traceback.format_exc()))
    return report


_pool = pytest.StashKey[Pool]()


@pytest.fixture(scope="session")
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Yields the machines of this session."""
    machines = Pool(request.config.getoption("driver"))
    request.session.stash[_pool] = machines
    yield machines
    machines.retire()


@pytest.fixture
def machine(request: pytest.FixtureRequest, pool: Pool) -> Machine:
    """Returns a running machine of the shape with which the test is marked."""
    found = pool.get(_shape(request.node) or Shape())
    request.node.stash[_machine] = found
    return found


@pytest.fixture
def driver(request: pytest.FixtureRequest, machine: Machine) -> Driver:
    """Returns the driver under test, loaded with default parameters."""
    found = Driver(machine, request.config.getoption("driver"))
    if not found.loaded:
        found.load()
    return found


@pytest.fixture
def unloaded(machine: Machine, driver: Driver) -> Iterator[Driver]:
    """Yields the driver under test, not loaded. It is loaded with default parameters
    afterwards."""
    driver.unload()
    yield driver
    if machine.alive:
        if driver.loaded:
            driver.unload()
        driver.load()


@pytest.fixture
def pf(machine: Machine, driver: Driver) -> PhysicalFunction:
    """Returns the first physical function: bound, live, and without VFs."""
    found = physical_functions(machine)[0]
    if found.driver != driver.name:
        assert found.bind(driver.name) == 0
    found.live()
    if found.num_vfs:
        assert found.set_vfs(0) == 0
    return found


@pytest.fixture
def pool_intact(machine: Machine, pf: PhysicalFunction) -> Iterator[None]:
    """Disables all VFs after the test, and checks that the Secondary Controller List and the
    pool are as they were before it."""
    before = pf.secondaries(), pf.capabilities()
    yield
    if not machine.alive:
        return
    if pf.num_vfs:
        assert pf.set_vfs(0) == 0
    assert (pf.secondaries(), pf.capabilities()) == before
    assert not pf.vfs
