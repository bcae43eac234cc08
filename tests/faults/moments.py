"""Moments of a process: before and after every call that changes what is on the disk."""

import builtins
import io
import os
import signal
from collections.abc import Callable
from typing import Any

_CALLS = ("replace", "rename", "fsync", "mkdir", "unlink", "remove", "rmdir")


class Moments:
    """Counts moments and kills the process (SIGKILL) at number `last`; 0 lets it live."""

    def __init__(self, last: int = 0):
        self.number, self.last = 0, last

    def watch(self) -> None:
        """Wraps the calls, for the rest of the process."""
        for name in _CALLS:
            setattr(os, name, self._around(getattr(os, name)))
        builtins.open = io.open = self._around(io.open, self._writes)

    @staticmethod
    def _writes(_: Any, mode: str = "r", *args: Any, **kwargs: Any) -> bool:
        return any(letter in mode for letter in "wax+")

    def _around(self, call: Callable, counts: Callable[..., bool] = lambda *_, **__: True):
        def called(*args: Any, **kwargs: Any) -> Any:
            counted = counts(*args, **kwargs)
            self._pass(counted)
            result = call(*args, **kwargs)
            self._pass(counted)
            return result

        return called

    def _pass(self, counted: bool) -> None:
        self.number += counted
        if counted and self.number == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
