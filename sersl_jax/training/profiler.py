"""A trace of one dispatch, and where its time went: `main --profile`."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from tqdm import tqdm


@contextmanager
def tracing(directory: Path | None) -> Iterator[None]:
    """Traces what happens inside for TensorBoard or Perfetto, and prints a breakdown.

    Nothing happens where `directory` is None.
    """
    if directory is None:
        yield
        return
    with jax.profiler.trace(str(directory)):
        yield
    tqdm.write(f"trace for TensorBoard or Perfetto (ui.perfetto.dev): {directory}")
    for milliseconds, name in breakdown(directory):
        tqdm.write(f"{milliseconds:10.1f} ms  {name}")


def breakdown(directory: Path, max_rows: int = 12) -> list[tuple[float, str]]:
    """The kinds of operation that took longest in the newest trace, in ms summed over threads."""
    traces = sorted(directory.rglob("*.trace.json.gz"), key=lambda path: path.stat().st_mtime)
    events = json.loads(gzip.decompress(traces[-1].read_bytes()))["traceEvents"]
    total: Counter[str] = Counter()
    for event in events:
        if event.get("ph") == "X" and "hlo_op" in event.get("args", {}):
            total[event["name"].rstrip("0123456789.").replace("_", " ")] += event["dur"] / 1e3
    return [(milliseconds, name) for name, milliseconds in total.most_common(max_rows)]
