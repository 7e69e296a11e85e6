# SPDX-License-Identifier: GPL-2.0
"""Uses the driver for hours: enables VFs, unplugs, resets, reloads, all at random.

No resource level may grow from the first cycle to the last. A file keeps the progress; the
next run continues from there, unless that soak is finished.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

from endurance.soak.run import State, soak
from guest.errors import MachineError
from guest.machine import boot
from guest.shape import Shape
from project import BUILD
from subject.driver import Driver
from subject.inquiry import inquire
from subject.leaks import shorten_scans

CYCLES = {"reload": 200, "reset": 100, "unplug": 100, "mix": 100, "enable": 1000}
"""The number of cycles of each kind in a whole soak."""
_FOLDER = BUILD / "soak"


def say(text: str) -> None:
    print(f"[{time.monotonic() - START:7.1f} s] {text}", flush=True)


def show(state: State) -> None:
    """Prints the table."""
    print(f"\n{'phase':<8}  {'cycles':>11}  {'time':>9}  {'Available':>25}"
          f"  {'SUnreclaim':>21}  {'legs':>4}")
    for phase in state.phases:
        legs = [leg for leg in phase.legs if leg.end]
        memory = {name: "" for name in ("Available", "SUnreclaim")}
        if legs and legs[-1].end:
            memory = {name: f"{legs[-1].start.memory[name]} to"
                            f" {legs[-1].end.memory[name]} KiB" for name in memory}
        print(f"{phase.name:<8}  {phase.done:>5}/{phase.total:<5}"
              f"  {phase.seconds / 60:>5.1f} min  {memory['Available']:>25}"
              f"  {memory['SUnreclaim']:>21}  {len(phase.legs):>4}")
    print(f"faults: {len(state.faults)}, seed {state.seed}\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qemu/soak", description=__doc__)
    parser.add_argument(
        "--state", type=Path, default=_FOLDER / f"{os.environ['NVME_RS_ABI']}.json",
        help="where the soak is kept (%(default)s)")
    parser.add_argument("--fresh", action="store_true",
                        help="begin a new soak, whatever became of the last")
    parser.add_argument("--seed", type=int, help="that of a new soak")
    for name, count in CYCLES.items():
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N",
                            help="cycles of a new soak (%(default)s)")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    path: Path = arguments.state
    path.parent.mkdir(parents=True, exist_ok=True)
    state = None
    if path.exists() and not arguments.fresh:
        state = State.load(path)
        if state.finished:
            state = None
        else:
            say(f"going on with {path}")
    if state is None:
        seed = arguments.seed
        state = State.new(
            random.randrange(1 << 32) if seed is None else seed,
            {name: getattr(arguments, name) for name in CYCLES})
    say(f"seed {state.seed}; booting")
    machine = boot(Shape())
    try:
        shorten_scans(machine)
        soak(machine, Driver(machine, "nvme_rs"), state, path, say)
    except MachineError as error:
        inquire(machine, say)
        text = "\n".join([str(error), *getattr(error, "__notes__", [])])
        state.faults.append(text)
        state.save(path)
        path.with_suffix(".log").write_text(machine.log.all())
        say(f"{text}\nthe guest's log is in {path.with_suffix('.log')}")
    except KeyboardInterrupt:
        say("interrupted; the next run goes on")
        return 130
    finally:
        machine.stop()
    show(state)
    say(f"all of it is in {path}")
    return 1 if state.faults or not state.finished else 0


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
