"""Writing files so that nobody reads half of one."""

import contextlib
import fcntl
import glob
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

_LONGEST_LINE = 1 << 20  # bytes of a table's header


def write_atomically(path: Path, write_to: Callable[[Path], object]) -> None:
    """Calls `write_to` with a temporary path, then renames: readers find the old file or the new.

    The new file is on the disk (fsync) before it is renamed.
    """
    temporary = beside(path)
    try:
        write_to(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # where it could not be written


def beside(path: Path) -> Path:
    """A name for what will be renamed to `path`; what killed processes left of it is removed."""
    own = f".{path.name}.{socket.gethostname()}."
    for left in path.parent.glob(f"{glob.escape(own)}*"):
        process = left.name.removeprefix(own).split(".")[0]
        if process.isdigit() and not _is_alive(int(process)):
            remove = shutil.rmtree if left.is_dir() else Path.unlink
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                remove(left)
    return path.with_name(f"{own}{os.getpid()}.{threading.get_ident()}")


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text in one step, see `write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """What a JSON file holds; raises ValueError, naming it, where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged or no JSON: {error}") from None


def read_table(path: Path, **options: Any) -> "pandas.DataFrame":
    """A CSV in UTF-8, by `pandas.read_csv`; raises ValueError, naming it, where it is none."""
    import pandas

    with path.open("rb") as file:
        head = file.read(_LONGEST_LINE)
    if len(head) == _LONGEST_LINE and not any(end in head for end in (b"\n", b"\r")):
        raise ValueError(f"{path} is no CSV: its first line is longer than 1 MB")
    try:
        table = pandas.read_csv(path, **options)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8, save it so: {error}") from None
    except (pandas.errors.EmptyDataError, pandas.errors.ParserError) as error:
        raise ValueError(f"{path} is no CSV: {error}") from None
    if not isinstance(table.index, pandas.RangeIndex):  # pandas takes the first cells as names
        raise ValueError(f"{path}: its rows have more cells than its first line")
    return table


@contextlib.contextmanager
def locked(folder: Path, taken: str) -> Iterator[None]:
    """Lets one process at a time work in `folder`; raises ValueError(`taken`) for a second one."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(taken) from None
        yield


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
