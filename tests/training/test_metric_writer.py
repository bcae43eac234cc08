"""Rows of metrics as TensorBoard reads them, and on a disk that is full."""

import subprocess
import sys

from sersl_jax.training.metric_writer import MetricWriter
from tests.conftest import REPOSITORY

ROWS = [{"stage": "finetune", "name": "0", "epoch": n, "train/loss": n / 2} for n in (1, 2, 3)]


def events(folder):
    """What TensorBoard's format holds, file after file: (step, purged from here on, scalars)."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.rglob("*tfevents*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], "little")
            event = Event.FromString(content[at + 12 : at + 12 + size])
            values = {value.tag: value.simple_value for value in event.summary.value}
            yield event.step, event.HasField("session_log"), values
            at += size + 16


def test_events_hold_every_scalar_and_where_a_training_went_on(tmp_path):
    writer = MetricWriter(tmp_path, "finetune", ["0"], 4)
    writer.add(ROWS)
    writer.close()
    writer.close()
    version, began, *rows = events(tmp_path)
    assert began == (5, True, {})
    assert rows == [(row["epoch"], False, {"train/loss": row["train/loss"]}) for row in ROWS]
    assert version[2] == {}


PROGRAM = """
import errno, sys
from pathlib import Path
from sersl_jax import cli
from sersl_jax.training.metric_writer import MetricWriter
from tensorboardX import record_writer

def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

def main(_):
    writer = MetricWriter(Path(sys.argv[1]), "finetune", ["0", "1"], 0)
    record_writer.RecordWriter.flush = full
    try:
        writer.add([{"stage": "finetune", "name": "0", "epoch": 1, "loss": 1.0}])
    finally:
        writer.close()

cli.run(main)
"""


def test_a_full_disk_is_told_in_one_line(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "No space left on device; make room" in done.stderr
