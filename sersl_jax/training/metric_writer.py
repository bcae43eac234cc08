"""Metrics of each epoch, written while a training runs: `metrics.jsonl`, TensorBoard events."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from tensorboardX import SummaryWriter

from sersl_jax import files


class MetricWriter:
    """One row per stage, member and epoch; only the first process writes."""

    def __init__(self, workdir: Path, stage: str, names: Sequence[str], epoch: int):
        """Opens the files; rows after `epoch`, left by a run that was cut off, are removed."""
        self._path = workdir / "metrics.jsonl"
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        kept = [line for line in lines if _stays(line, stage, names, epoch)]
        if kept != lines or not self._path.exists():
            text = "".join(f"{line}\n" for line in kept)
            files.write_text(self._path, text)
        self._events = {
            name: SummaryWriter(str(workdir / "events" / stage / name), purge_step=epoch + 1)
            for name in names
        }

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Appends an epoch's rows, one a member, in one write."""
        if not self._writes:
            return
        with self._path.open("a") as file:
            file.write("".join(f"{json.dumps(row)}\n" for row in rows))
        for row in rows:
            events = self._events[row["name"]]
            for key, value in row.items():
                if isinstance(value, float):
                    events.add_scalar(key, value, row["epoch"])
            events.flush()

    def close(self) -> None:
        """Closes the event files."""
        if self._writes:
            for events in self._events.values():
                events.close()


def _stays(line: str, stage: str, names: Sequence[str], epoch: int) -> bool:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:  # the last line of a run that was killed
        return False
    return (row["stage"], row["name"] in names) != (stage, True) or row["epoch"] <= epoch
