"""The scripts in launch/, with a program in Python's place that only notes what it is asked for."""

import json
import os
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[1] / "launch"
# Trains nothing: writes as many splits as asked for, or stops when $STOP calls were made.
PYTHON = """#!/usr/bin/env python3
import json, os, pathlib, sys
flags = dict(a.split("=", 1) for a in sys.argv if "=" in a)
log = pathlib.Path(os.environ["LOG"])
calls = log.read_text().splitlines() if log.exists() else []
if len(calls) == int(os.environ.get("STOP", "99")):
    sys.exit(143)
if "sersl_jax.compare" in sys.argv:
    asked = ["compare", *(pathlib.Path(a).name for a in sys.argv if "/runs/" in a)]
else:
    config = pathlib.Path(flags["--config"]).name
    number = int(flags["--config.finetune.num_splits"])
    asked = [config, number]
    inside = [f"ssl{k}" for k in range(1, 6)] if config.startswith("table3") else [""]
    for name in inside:
        run = pathlib.Path(flags["--workdir"], name)
        run.mkdir(parents=True, exist_ok=True)
        splits = {"splits": [{"seed": k, "hash": "x"} for k in range(number)]}
        (run / "results.json").write_text(json.dumps(splits, indent=1))
log.write_text("\\n".join([*calls, json.dumps(asked)]) + "\\n")
"""


@pytest.fixture
def launch(tmp_path):
    """`launch(script, *arguments, **environment)`: exit code, what Python was asked so far."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def start(script, *arguments, **environment):
        known = {"PYTHON": str(python), "LOG": str(log), "RUNS": str(tmp_path / "runs")}
        done = subprocess.run(
            [LAUNCH / script, *arguments], env={**os.environ, **known, **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        asked = log.read_text().splitlines() if log.exists() else []
        return done.returncode, [json.loads(line) for line in asked]

    return start


def test_table_2_grows_split_by_split_over_any_number_of_sittings(launch):
    rows = ["supervised.py:paper", "wav2vec2.py:paper", "ssl1.py:paper"]
    wanted = [[row, number] for number in (1, 2, 3) for row in rows]
    code, asked = launch("table2.sh", SETTING="paper", SPLITS="3", STOP="4")
    assert (code, asked) == (143, wanted[:4])
    code, asked = launch("table2.sh", SETTING="paper", SPLITS="3")
    assert (code, asked) == (0, [*wanted, ["compare", "supervised", "wav2vec2", "ssl1"]])
    # What is there already is asked for once more: `main` knows whether it is of these settings.
    code, asked = launch("table2.sh", "--config.finetune.epochs=9", SETTING="paper", SPLITS="3")
    assert asked[len(wanted) + 1 :] == [*wanted[6:], ["compare", "supervised", "wav2vec2", "ssl1"]]


def test_table_3_grows_too_some_splits_at_a_time(launch):
    methods = [f"ssl{k}" for k in range(1, 6)]
    code, asked = launch("table3.sh", SPLITS="5", BY="2", STOP="1")
    assert (code, asked) == (143, [["table3.py", 2]])
    code, asked = launch("table3.sh", SPLITS="5", BY="2")
    assert asked == [*(["table3.py", n] for n in (2, 4, 5)), ["compare", *methods]]


@pytest.mark.parametrize("script", ["table2.sh", "table3.sh"])
def test_a_number_of_splits_as_an_override_is_refused(launch, script):
    assert launch(script, "--config.finetune.num_splits=3") == (2, [])


@pytest.fixture
def gpu(tmp_path):
    """`gpu(code, *arguments)`: exit code, the program's arguments, what is said on stderr."""

    def start(code, *arguments):
        python, log = tmp_path / "python", tmp_path / "log"
        python.write_text(f'#!/bin/bash\necho "$@" > {log}; exit {code}\n')
        python.chmod(0o755)
        known = {"PYTHON": str(python), "OUT": str(tmp_path / "out")}
        done = subprocess.run(
            [LAUNCH / "gpu.sh", *arguments], env={**os.environ, **known},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, log.read_text().split() if log.exists() else [], done.stderr

    return start


@pytest.mark.parametrize(
    ("part", "program"),
    [
        ("check", "pytest"),
        ("benchmark", "tests.benchmarks.train_step"),
        ("train", "sersl_jax.main"),
        ("profile", "sersl_jax.main"),
    ],
)
def test_the_parts_for_a_gpu_start_their_programs_with_what_follows(gpu, part, program):
    code, asked, said = gpu(0, part, "--more")
    assert (code, asked[:2], asked[-1], said) == (0, ["-m", program], "--more", "")


def test_a_training_that_ran_out_of_time_is_to_be_given_again(gpu):
    assert gpu(143, "train")[0::2] == (143, "not done yet: give the same command again\n")
    assert gpu(2, "train")[0::2] == (2, "")
    code, _, said = gpu(0, "nothing")
    assert (code, "usage" in said) == (2, True)
