"""Broken files and values: python -m tests.faults.fuzz --number=20000 [--only=sound] [--seed=1].

Each may be read, or refused by a ValueError or OSError that names it, within 5 s and 1 GB.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.targets import TARGETS, Target, create_seeds

SECONDS, BYTES, BATCH = 5.0, 1 << 30, 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=20_000, help="of inputs, over all targets")
    parser.add_argument("--only", default=",".join(TARGETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder for the inputs that failed")
    chosen = parser.parse_args()
    folder, names = Path(tempfile.mkdtemp()), chosen.only.split(",")
    try:
        create_seeds(folder)
        counts = {n: _fuzz(n, chosen.number // len(names), chosen, folder) for n in names}
    finally:
        shutil.rmtree(folder)
    return int(any(found["failed"] for found in counts.values()))


def _fuzz(name: str, number: int, chosen: Any, folder: Path) -> Counter:
    """Runs a target in processes of `BATCH` inputs each; prints what failed, each kind once."""
    counts, seen, started, at = Counter(), set(), time.monotonic(), 0
    while at < number:
        for seed, outcome, said in _batch(name, range(at, min(at + BATCH, number)), chosen, folder):
            counts[outcome] += 1
            at = seed + 1
            if outcome == "failed" and said not in seen:
                seen.add(said)
                print(f"{name} {seed}: {said}", flush=True)
    seconds = time.monotonic() - started
    print(f"{name}: {number} inputs, {dict(counts)}, {seconds:.0f} s", flush=True)
    return counts


def _batch(name: str, numbers: range, chosen: Any, folder: Path) -> Iterator[tuple[int, str, str]]:
    """Number, outcome and message of each input; a process that dies ends the batch."""
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.close(read)
        try:
            _work(TARGETS[name], name, numbers, chosen, folder, write)
        finally:
            os._exit(1)
    os.close(write)
    done = numbers.start
    with os.fdopen(read) as pipe:
        for line in pipe:
            done += 1
            yield tuple(json.loads(line))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        yield done, "failed", f"the process died ({code})"


def _work(target: Target, name: str, numbers: range, chosen: Any, folder: Path, pipe: int) -> None:
    """In a process of its own: one input after the other."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    place = folder / "input"
    target.start(folder)
    for number in numbers:
        luck = random.Random(f"{chosen.seed}/{name}/{number}")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        made = target.make(folder, place, luck)
        signal.alarm(round(4 * SECONDS))  # of C code that Python cannot interrupt
        outcome, said = _try(target, made)
        signal.alarm(0)
        if outcome == "failed" and chosen.keep:
            shutil.copytree(place, Path(chosen.keep, f"{name}_{number}"), dirs_exist_ok=True)
        os.write(pipe, f"{json.dumps([number, outcome, said])}\n".encode())
    os._exit(0)


def _try(target: Target, made: Any) -> tuple[str, str]:
    started, before = time.monotonic(), _peak()
    try:
        target.read(made)
        outcome, said = "read", ""
    except (ValueError, OSError) as error:
        named = not isinstance(made, Path) or any(part in str(error) for part in target.named(made))
        outcome = "refused" if named and str(error) else "failed"
        said = f"{type(error).__name__} without a name: {error} {_where(error)}"
    except BaseException as error:
        outcome, said = "failed", f"{type(error).__name__}: {error} {_where(error)}"
    if time.monotonic() - started > SECONDS:
        outcome, said = "failed", f"took {time.monotonic() - started:.0f} s"
    if _peak() - before > BYTES:
        outcome, said = "failed", f"took {(_peak() - before) >> 20} MB"
    return outcome, said[:400] if outcome == "failed" else ""


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "sersl_jax" in frame.filename] or frames
    return f"({Path(ours[-1].filename).name}:{ours[-1].lineno})"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
