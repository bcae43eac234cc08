"""Memory of `predict` over a large folder: python -m tests.faults.many --clips=10000 [--names=0].

Clips are hard links to five sounds of half a second; `--names` more files are no sound.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.trained_run import babble, write_wav


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--names", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        folder = _fill(Path(base), chosen.clips, chosen.names)
        started = time.monotonic()
        table = Path(base, "table.csv")
        command = [sys.executable, "-m", "sersl_jax.predict", "--format=csv", str(folder)]
        with table.open("w") as out:
            subprocess.run(command, stdout=out, stderr=subprocess.DEVNULL, check=True)
        seconds, rows = time.monotonic() - started, len(table.read_text().splitlines()) - 1
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(f"{rows} clips among {chosen.clips + chosen.names} names: {peak} MB, {seconds:.0f} s")
    return int(rows != chosen.clips)


def _fill(base: Path, clips: int, names: int) -> Path:
    folder = base / "folder"
    folder.mkdir()
    sounds = [write_wav(base / f"{seed}.wav", babble(0.5, seed)) for seed in range(5)]
    for number in range(clips):
        os.link(sounds[number % 5], folder / f"clip{number:06d}.wav")
    for number in range(names):
        (folder / f"note{number:06d}.txt").touch()
    return folder


if __name__ == "__main__":
    sys.exit(main())
