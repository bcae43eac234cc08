"""A command in a forked process, which need not import everything anew, and may kill itself."""

import atexit
import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.faults.moments import Moments

_PATIENCE = 120  # s


def preload() -> None:
    """Imports what commands import late; JAX's backends stay unmade, which could not be forked."""
    for name in (
        "training.experiment", "datasets.preparation", "reports.label_card", "inference.load",
        "datasets.pretext.pretext_dataset_builder", "datasets.speech.speech_dataset_builder",
        "datasets.relabel", "inference.matrix", "inference.exported", "datasets.summary",
    ):  # fmt: skip
        importlib.import_module(f"sersl_jax.{name}")
    for name in ("opensmile", "librosa", "grain", "scipy.stats", "scipy.optimize"):
        importlib.import_module(name)


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns, as JSON; it may use JAX, and this process stays fit to be forked."""
    read, write = os.pipe()
    if not (pid := os.fork()):
        with os.fdopen(write, "w") as pipe:
            json.dump(function(*arguments), pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        content = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(content)


class Process:
    """`python -m sersl_jax.MODULE ARGUMENTS` in a session of its own; output goes to files."""

    def __init__(self, module: str, arguments: Sequence[str], folder: Path, last: int = 0):
        folder.mkdir(exist_ok=True)
        self.out, self.err = folder / "stdout", folder / "stderr"
        self._moments = folder / "moments"
        self._moments.unlink(missing_ok=True)
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self._run(module, arguments, last)
        self.code: int | None = None

    def _run(self, module: str, arguments: Sequence[str], last: int) -> None:
        os.setsid()
        for number, path in ((1, self.out), (2, self.err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        moments, code = Moments(last), 1
        sys.argv = [module, *arguments]
        try:
            moments.watch()
            runpy.run_module(f"sersl_jax.{module}", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        moments.last = 0
        self._moments.write_text(str(moments.number))
        sys.stdout.flush()
        os._exit(code)

    def wait(self, patience: float = _PATIENCE) -> int:
        """Its exit code, negative for a signal's."""
        limit = time.monotonic() + patience
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > limit:
                os.killpg(self.pid, signal.SIGKILL)
                raise TimeoutError(f"hangs: {self.said()}")
            else:
                time.sleep(0.02)
        return self.code

    def signal_after(self, seconds: float, kind: str) -> None:
        """Sends SIGKILL or SIGTERM, or SIGKILL to one of its workers ("worker")."""
        time.sleep(seconds)
        number = signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL
        others = [pid for pid in self._session() if pid != self.pid]
        pid = others[-1] if kind == "worker" and others else self.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def moments(self) -> int:
        return int(self._moments.read_text())

    def said(self) -> str:
        """The end of what it wrote to stderr; FAULTS_VERBOSE=1 gives more of it."""
        lines = self.err.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-60 if "FAULTS_VERBOSE" in os.environ else -1 :])[-6000:]

    def left_over(self, patience: float = 20) -> list[str]:
        """Processes of its session that do not end by themselves; they are ended."""
        limit = time.monotonic() + patience
        while (left := self._session()) and time.monotonic() < limit:
            time.sleep(0.05)
        said = [Path(f"/proc/{pid}/cmdline").read_bytes().decode()[:200] for pid in left]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return said

    def _session(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit():
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    found += [int(entry.name)] * (int(fields[3]) == self.pid and fields[0] != "Z")
        return sorted(found)
