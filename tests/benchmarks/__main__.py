"""The table of docs/performance.md: `python -m tests.benchmarks [--json=FILE] [--only=WORD]`.

Every row is measured in processes of its own, some fifteen minutes in all on two quiet cores. Rows
that need PyTorch or transformers are left out where those are not installed. Close other programs.
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = ("main", "prepare", "predict", "evaluate", "compare", "report", "serve", "export")
BASE = ["--width=512", "--layers=6", "--dim=768", "--heads=12", "--batch=1"]  # wav2vec 2.0's sizes
Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="writes the figures here")
    parser.add_argument("--only", default="", help="the parts whose names hold this word")
    arguments = parser.parse_args()
    parts = {
        "step": train_step, "epoch": epoch, "start": first_step, "help": help_texts,
        "predict": predict, "prepare": prepare, "wav2vec2": wav2vec2,
    }  # fmt: skip
    figures: Figures = {}
    for name, part in parts.items():
        for what, value in part().items() if arguments.only in name else ():
            figures[what] = value
            print(f"| {what} | {value:.3g} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


def train_step() -> Figures:
    """A step of 32 windows, over eager PyTorch's time in the same run."""
    if not installed("torch"):
        return {}
    return {k: v for k, v in module("train_step").items() if k.startswith("ratio")}


def epoch() -> Figures:
    """Steps over clips as long as CREMA-D's, the paper's network."""
    found = module("train_step", "--notorch", "--frames=0", "--windows=1280", "--repeats=1")
    (figures,) = found.values()
    return {"epoch of CREMA-D, examples/s": figures["examples_per_s"]}


def first_step() -> Figures:
    """Seconds from the start of `main` to the progress of its first step; the data is prepared."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        until_first_step(folder, "unprepared")
        for path in Path(folder, "cache").glob("sersl_jax/xla"):
            path.rename(Path(folder, "xla"))
        figures["first step, nothing compiled, s"] = until_first_step(folder, "cold")
        figures["first step, compiled before, s"] = until_first_step(folder, "warm")
    return figures


def until_first_step(folder: str, name: str) -> float:
    """Starts the demonstration in a new run directory, and kills it at its first step."""
    command = [sys.executable, "-m", "sersl_jax.main", "--config=configs/ssl1.py"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, f"--workdir={folder}/{name}"],
        env=os.environ | {"XDG_CACHE_HOME": f"{folder}/cache"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    text = b""
    while not re.search(rb"pretrain.*\b[1-9]\d*/\d+ \[", text):
        text += (piece := os.read(process.stderr.fileno(), 65_536))
        if not piece:
            raise SystemExit(text.decode())
    seconds = time.perf_counter() - start
    process.kill()
    process.wait()
    return seconds


def help_texts() -> Figures:
    """The slowest of the commands' `--help`."""
    seconds = []
    for name in COMMANDS:
        start = time.perf_counter()
        command = [sys.executable, "-m", f"sersl_jax.{name}", "--help"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        seconds.append(time.perf_counter() - start)
    return {"--help of the slowest command, s": max(seconds)}


def predict() -> Figures:
    """The paper's network with two members."""
    return module("predict", "--members=2", "--minutes=0")


def prepare() -> Figures:
    """Made-up talking faces from wav and CSV."""
    return module("prepare", "--speakers=100")


def wav2vec2() -> Figures:
    """The base model's sizes beside transformers'."""
    return module("wav2vec2", "speed", *BASE) if installed("transformers") else {}


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def module(name: str, *arguments: str) -> dict:
    """The figures that one benchmark writes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]
        subprocess.run([*command, f"--json={folder}/figures"], stdout=sys.stderr, check=True)
        return json.loads(Path(folder, "figures").read_text())


if __name__ == "__main__":
    main()
