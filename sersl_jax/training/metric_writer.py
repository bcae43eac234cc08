"""Metrics of each epoch, written while a training runs: `metrics.jsonl`, TensorBoard events."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore  # made at import
from tensorboardX.summary import scalar

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
        folder = workdir / "events" / stage
        self._events = {name: _open_events(folder / name, epoch + 1) for name in names}

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
                    summary = scalar(key, value)
                    events.write_event(
                        Event(step=row["epoch"], wall_time=time.time(), summary=summary)
                    )
            events.flush()

    def close(self) -> None:
        """Closes the event files; a second time does nothing."""
        while self._writes and self._events:
            self._events.popitem()[1].close()


def _open_events(folder: Path, purge_step: int) -> EventsWriter:
    """Not a SummaryWriter, whose thread goes on after a full disk and tells so when Python ends."""
    folder.mkdir(parents=True, exist_ok=True)
    events = EventsWriter(str(folder / "events"))
    began = SessionLog(status=SessionLog.START)
    events.write_event(Event(step=purge_step, wall_time=time.time(), session_log=began))
    return events


def _stays(line: str, stage: str, names: Sequence[str], epoch: int) -> bool:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:  # the last line of a run that was killed
        return False
    return (row["stage"], row["name"] in names) != (stage, True) or row["epoch"] <= epoch
