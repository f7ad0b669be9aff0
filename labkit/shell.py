# SPDX-License-Identifier: GPL-2.0-only
"""./lab shell: a terminal on the lab machine."""

import contextlib
import os
import shutil
import sys
import termios
import tty

ESCAPE = b"\x1d"  # Ctrl-]
END_OF_FILE = b"\x04"  # Ctrl-D


def commands():
    """What the machine runs: a login shell on its terminal, of the size of ours."""
    columns, rows = shutil.get_terminal_size()
    size = f"stty rows {rows} cols {columns}"
    return (f"export TERM='{os.environ.get('TERM', 'linux')}'\n"
            f"exec setsid -c -w sh -c '{size}; exec bash -l' <>/dev/hvc0 >&0 2>&1\n")


@contextlib.contextmanager
def raw_terminal():
    """Give keys to the machine as they come; restore the terminal however this ends."""
    if not sys.stdin.isatty():
        yield
        return
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, saved)
