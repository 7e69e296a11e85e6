# SPDX-License-Identifier: GPL-2.0
"""A shell of the guest on the user's terminal."""

import os
import select
import shutil
import socket
import sys
import termios
import tty

from guest.machine import Machine

_ESCAPE = b"\x1d"   # Ctrl-]


def interact(machine: Machine) -> None:
    """Connects the terminal to a shell, until Ctrl-] or the end of the guest."""
    size = shutil.get_terminal_size()
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    with socket.socket(socket.AF_UNIX) as guest:
        guest.connect(str(machine.terminal))
        machine.spawn("cd; exec < /dev/hvc0 > /dev/hvc0 2>&1;"
                      f" stty rows {size.lines} cols {size.columns};"
                      " setsid -c sh -l; poweroff -f")
        saved = termios.tcgetattr(keyboard)
        try:
            tty.setraw(keyboard)
            while True:
                ready, _, _ = select.select([keyboard, guest], [], [])
                if keyboard in ready:
                    typed = os.read(keyboard, 4096)
                    if not typed or _ESCAPE in typed:
                        break
                    guest.sendall(typed)
                if guest in ready:
                    shown = guest.recv(4096)
                    if not shown:
                        break
                    os.write(screen, shown)
        finally:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, saved)
    print()
