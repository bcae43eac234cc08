"""Time and peak memory of `evaluate` on made-up corpora: python -m tests.benchmarks.evaluate.

The model in the package is tested on folders of so many clips of one second, prepared before the
clock starts; each test is a process of its own. Without the SVMs, whose kernel with the training
clips grows up to 10,000 clips; with them, where `--trained_data_dir` has CREMA-D prepared. Options:
`--sizes=400,2000`.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from sersl_jax.corpora.crema_d import CLASSES
from sersl_jax.datasets.preparation import prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="400,2000")
    parser.add_argument("--trained_data_dir", default="none")
    arguments = parser.parse_args()
    for size in map(int, arguments.sizes.split(",")):
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            prepare("speech/folder", write(root / "corpus", size), root / "data")
            seconds, peak, own = test(root, arguments.trained_data_dir)
        print(f"{size} clips: {seconds:.1f} s, peak {peak:.0f} MB, {own:.0f} of them no file's")


def write(root: Path, size: int) -> Path:
    """A second of noise a clip, ten clips a speaker, classes in turn."""
    (root / "media").mkdir(parents=True)
    lines = ["clip,label,speaker_id"]
    for number in range(size):
        noise = 0.1 * np.random.default_rng(number).normal(size=16_000)
        soundfile.write(root / "media" / f"{number}.wav", noise, 16_000)
        lines.append(f"{number},{CLASSES[number % len(CLASSES)]},s{number // 10}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def test(root: Path, trained_data_dir: str) -> tuple[float, float, float]:
    """Seconds and peak memory (MB) of the command: all, and without pages of mapped files."""
    command = [sys.executable, "-m", "sersl_jax.evaluate", "--dataset=speech/folder"]
    command += [f"--data_dir={root / 'data'}", f"--out={root / 'out'}"]
    command += [f"--trained_data_dir={trained_data_dir}"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = own = 0.0
    while process.poll() is None:
        said = Path(f"/proc/{process.pid}/status").read_text()
        found = dict(re.findall(r"(VmHWM|RssAnon):\s+(\d+) kB", said))
        peak = max(peak, int(found.get("VmHWM", 0)) / 1e3)
        own = max(own, int(found.get("RssAnon", 0)) / 1e3)
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, peak, own


if __name__ == "__main__":
    main()
