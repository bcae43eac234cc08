"""Memory of `predict` over a large folder, and of `prepare` and an epoch over a large corpus.

python -m tests.faults.many --clips=10000 [--names=0]   # hard links to five sounds of half a second
python -m tests.faults.many --windows=200000            # of a quarter of a second, 200 a clip

`--names` more files are no sound. The epoch trains a tiny network on what it reads from the disk.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sersl_jax.corpora import synthetic_face
from sersl_jax.datasets.dataset import read_dataset
from sersl_jax.features import openface
from tests.trained_run import babble, write_wav


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--names", type=int, default=0)
    parser.add_argument("--windows", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        if chosen.windows:
            return _corpus(Path(base), chosen.windows)
        folder, table = _fill(Path(base), chosen.clips, chosen.names), Path(base, "table.csv")
        used = _run(table, "predict", "--format=csv", str(folder))
        rows = len(table.read_text().splitlines()) - 1
    print(f"{rows} clips among {chosen.clips + chosen.names} names: {used}")
    return int(rows != chosen.clips)


def _run(out: Path, command: str, *arguments: str) -> str:
    """Memory of the largest process and time of a command that must end well."""
    started = time.monotonic()
    said = out.with_suffix(".said")
    with out.open("w") as file, said.open("w") as errors:
        program = [sys.executable, "-m", f"sersl_jax.{command}", *arguments]
        process = subprocess.Popen(program, stdout=file, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
    assert not status, said.read_text()[-2000:]
    cpu = usage.ru_utime + usage.ru_stime
    return f"{usage.ru_maxrss >> 10} MB, {time.monotonic() - started:.0f} s, {cpu:.0f} CPU s"


def _corpus(base: Path, windows: int) -> int:
    source, data, log = _write_corpus(base / "source", windows), base / "data", base / "log"
    used = _run(
        log, "prepare", "--dataset=pretext/folder", f"--source={source}", f"--data_dir={data}",
        "--window=0.25", "--hop=0.25", "--workers=2",
    )  # fmt: skip
    found = len(read_dataset("pretext/folder", data, "llds").lengths)
    print(f"{found} windows: prepare {used}", flush=True)
    used = _run(
        log, "main", f"--config=tests/faults/tiny.py:{data}", f"--workdir={base / 'run'}",
        '--config.stages=("pretrain",)', "--config.pretrain.epochs=1",
        "--config.pretrain.batch_size=32", "--config.checkpoint_seconds=1e9",
        "--config.data.residency=stream", "--config.data.bucket.llds=16",
    )  # fmt: skip
    print(f"{found} windows: an epoch {used}")
    return int(found != windows)


def _write_corpus(folder: Path, windows: int) -> Path:
    """Clips of 50 s that differ in their noise, and one talking face for all."""
    rng = np.random.default_rng(0)
    sound = babble(50.0)
    for name in ("media", "openface"):
        (folder / name).mkdir(parents=True)
    openface.write(folder / "face.csv", synthetic_face.perform(sound, "anger", np.abs(sound), rng))
    for number in range(windows // 200):
        noise = rng.normal(0, 0.003, len(sound))
        write_wav(folder / "media" / f"clip{number:04d}.wav", sound + noise)
        os.link(folder / "face.csv", folder / "openface" / f"clip{number:04d}.csv")
    return folder


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
