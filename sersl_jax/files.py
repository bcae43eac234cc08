"""Writing files so that nobody reads half of one."""

import os
import threading
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write_to: Callable[[Path], object]) -> None:
    """Calls `write_to` with a temporary path, then renames: readers find the old file or the new.

    The new file is on the disk (fsync) before it is renamed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    write_to(temporary)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text in one step, see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
