"""The crash matrix: python -m tests.faults --kills=25 [--disks=20] [--only=main=8,prepare_2].

Every command that writes is killed at moments spread over its calls that change the disk, and at
random times; the same command again must leave what one that was never killed leaves.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.faults.commands import COMMANDS, GROUND, outputs, write_corpora
from tests.faults.process import Process, forked, preload


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--only", default=",".join(COMMANDS))
    parser.add_argument("--disks", type=int, default=0, help="sizes from 1 to 20 MB; needs root")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    preload()
    base = Path(tempfile.mkdtemp(prefix="faults "))
    try:
        matrix = _Matrix(base, random.Random(chosen.seed))
        matrix.make_ground()
        wanted = [entry.partition("=") for entry in chosen.only.split(",")]
        failed = [
            matrix.check(name, int(kills or chosen.kills), chosen.disks)
            for name, _, kills in wanted
        ]
    finally:
        shutil.rmtree(base)
    return int(sum(failed) > 0)


class Straight(NamedTuple):
    """What a command leaves and prints that is not killed; its moments and seconds."""

    outputs: dict[str, str]
    printed: bytes
    moments: int
    seconds: float


class _Matrix:
    def __init__(self, base: Path, luck: random.Random):
        self.base, self.out, self.luck = base, base / "out", luck
        self.straight: dict[str, Straight] = {}

    def make_ground(self) -> None:
        forked(write_corpora, self.base)
        for arguments in GROUND:
            process = self._start("prepare", arguments)
            assert process.wait() == 0, process.said()
        self.straight["main"] = self._run("main")
        self.out.rename(self.base / "run")

    def _run(self, name: str) -> "Straight":
        started = time.monotonic()
        process = self._begin(name)
        code, seconds = process.wait(), time.monotonic() - started
        assert code == 0, process.said()
        wanted = forked(outputs, self.out)
        assert wanted, f"{name} wrote nothing"
        return Straight(wanted, process.out.read_bytes(), process.moments(), seconds)

    def check(self, name: str, kills: int, disks: int) -> int:
        """Breaks a command that often; prints and returns the number of failures."""
        started = time.monotonic()
        self.wanted, self.printed, moments, seconds = self.straight.get(name) or self._run(name)
        by_call = self.luck.sample(range(1, moments + 1), min(moments, -(-kills * 3 // 5)))
        plans = [("moment", number) for number in by_call]
        kinds = ("SIGKILL", "SIGTERM", "worker")
        plans += [(kinds[i % 3], self.luck.uniform(0, seconds)) for i in range(kills - len(plans))]
        wrong = [said for plan in plans for said in self._kill(name, *plan)]
        if kills:
            wrong += self._twice(name)
        if disks and os.geteuid() == 0:
            wrong += [
                said
                for number in range(disks)
                for said in self._full(name, 1 + 19 * number // disks)
            ]
            wrong += self._read_only(name)
        for said in wrong:
            print(f"{name}: {said}", flush=True)
        counts = f"{kills} kills of {moments} moments, {disks} full disks, {len(wrong)} failures"
        print(f"{name}: {counts}, {time.monotonic() - started:.0f} s", flush=True)
        return len(wrong)

    def _kill(self, name: str, kind: str, when: float) -> list[str]:
        killed = self._begin(name, int(when) if kind == "moment" else 0)
        if kind != "moment":
            killed.signal_after(when, kind)
        code = killed.wait()
        wrong = [f"a process was left: {p}" for p in killed.left_over()]
        if code not in (0, 2, 143, -signal.SIGKILL, -signal.SIGTERM):
            wrong.append(f"exit {code}: {killed.said()}")
        return [f"{kind} {when:.4g} ({code}): {one}" for one in wrong + self._again(name)]

    def _again(self, name: str) -> list[str]:
        """What is wrong after the same command was given again."""
        again, wanted = self._begin(name, fresh=False), self.wanted
        wrong = [] if again.wait() == 0 else [f"again: {again.said()}"]
        found = forked(outputs, self.out)
        wrong += [f"not as straight: {p}" for p in wanted if wanted[p] != found.get(p)]
        wrong += [f"left: {path}" for path in found if path not in wanted]
        if name == "predict" and again.out.read_bytes() != self.printed:
            wrong.append("stdout differs")
        return wrong

    def _twice(self, name: str) -> list[str]:
        """Two starts at once: the second one ends as well, or says why it does not begin."""
        pair = [self._begin(name), self._begin(name, fresh=False, place="second")]
        codes = [process.wait() for process in pair]
        wrong = [
            f"exit {code}: {process.said()}"
            for code, process in zip(codes, pair, strict=True)
            if code and not (code == 2 and "another process" in process.said())
        ]
        wrong += ["none of two ended well"] * (0 not in codes)
        return [f"two at once: {one}" for one in wrong + self._again(name)]

    def _full(self, name: str, megabytes: int) -> list[str]:
        with self._disk(name, megabytes):
            process = self._begin(name, fresh=False)
            wrong = _unless_told(process)
            _mount("remount,size=200m", self.out)
            return [f"{megabytes} MB: {one}" for one in wrong + self._again(name)]

    def _read_only(self, name: str) -> list[str]:
        with self._disk(name, 200):
            _mount("remount,ro", self.out)
            wrong = _unless_told(self._begin(name, fresh=False))
            _mount("remount,rw", self.out)
            return [f"read-only: {one}" for one in wrong + self._again(name)]

    @contextlib.contextmanager
    def _disk(self, name: str, megabytes: int) -> Iterator[None]:
        """A file system of its own below {out}."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        _mount("size=200m", self.out)
        try:
            if before := COMMANDS[name].before:
                shutil.copytree(self.base / before, self.out, dirs_exist_ok=True)
            used = shutil.disk_usage(self.out).used / 2**20
            _mount(f"remount,size={used + megabytes:.0f}m", self.out)
            yield
        finally:
            subprocess.run(["umount", self.out], check=True)

    def _begin(self, name: str, last: int = 0, fresh: bool = True, place: str = "first") -> Process:
        command = COMMANDS[name]
        if fresh:
            shutil.rmtree(self.out, ignore_errors=True)
            if command.before:
                shutil.copytree(self.base / command.before, self.out)
            else:
                self.out.mkdir()
        return self._start(command.module, command.arguments, last, place)

    def _start(self, module: str, arguments: str, last: int = 0, place: str = "first") -> Process:
        given = [part.format(base=self.base, out=self.out) for part in arguments.split()]
        return Process(module, given, self.base / place, last)


def _mount(options: str, folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


def _unless_told(process: Process) -> list[str]:
    """Nothing where it ended well, or with exit code 2 and a line."""
    code, said = process.wait(), process.said()
    return [] if code == 0 or (code == 2 and "error: " in said) else [f"exit {code}: {said}"]


if __name__ == "__main__":
    sys.exit(main())
