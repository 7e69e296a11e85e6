# SPDX-License-Identifier: GPL-2.0
"""The command line."""

import argparse
import os
import signal
import sys
from typing import NoReturn

from nvme_sriov.commands import apply, disable, doctor, enable, save, top
from nvme_sriov.commands import list as list_
from nvme_sriov.commands import set as set_
from nvme_sriov.failure import Failure, Misuse, reason
from nvme_sriov.sysfs import Sysfs

_COMMANDS = {
    "list": (list_, "show physical functions, their resources and VFs"),
    "set": (set_, "set what a VF is to have"),
    "enable": (enable, "enable VFs"),
    "disable": (disable, "disable the VFs of a physical function"),
    "apply": (apply, "make physical functions what the file says"),
    "save": (save, "write what is to the file"),
    "top": (top, "show what each VF does"),
    "doctor": (doctor, "say what would keep VFs from working"),
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise Misuse(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nvme-sriov", allow_abbrev=False,
        description="Virtual functions (VFs) of NVMe controllers that nvme_rs drives.",
        epilog="nvme-sriov(8) has the details. Exit status: 0, done; 1, it cannot be done;"
        " 2, the command line or the file is wrong.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.",
                                      allow_abbrev=False)
        module.add(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: list[str] | None = None, sysfs: Sysfs | None = None) -> int:
    """Does what the command line says, and returns the exit status."""
    # A service that is stopped, or whose terminal is gone, undoes what it has begun.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    try:
        args = _parser().parse_args(arguments)
        status: int = args.run(sysfs or Sysfs(), args)
        sys.stdout.flush()
        return status
    except Failure as failure:
        print("nvme-sriov:", " ".join(str(failure).split()), file=sys.stderr)
        return failure.status
    except OSError as error:
        # Of the output: Python would complain again when it ends. Who reads a pipe no more has
        # seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print("nvme-sriov:", reason(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
