"""Where a training step's time goes, by the part of the network: a trace of one core.

taskset -c 0 python -m tests.benchmarks.step_parts [--frames=124] [--out=parts.json]

XLA's operations are put under the module that they came from; its products do not tell theirs.
"""

import argparse
import gzip
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from sersl_jax import sharding
from sersl_jax.training.trainer import create_trainer, fresh_params
from tests.benchmarks.train_step import BATCH, make_training

PARTS = {  # the first whose pattern is in "SHAPE NAME ORIGIN" of an operation
    "products of dense layers": r"^\w+\[\d+,\d+\]\S* (ynn_fusion|dot)[\d.]* $",
    "products of attention": r" (ynn_fusion|dot)[\d.]* $",
    "attention: softmax, dropout": r"attention/",
    "norms": r"norm_|/norm",
    "dropout, residuals, activations": r"blocks|stack",
    "copies and zeroing": r" (wrapped_)?(copy|broadcast)[\w.]* ",
    "the rest": "",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=124)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--out", type=Path, help="writes the figures here")
    arguments = parser.parse_args()
    parts = measure(arguments.frames, arguments.steps)
    for name, milliseconds in parts.items():
        print(f"| {name} | {milliseconds:.0f} |")
    if arguments.out:
        arguments.out.write_text(json.dumps(parts, indent=1))


def measure(frames: int, steps: int) -> dict[str, float]:
    """Milliseconds a step."""
    training, config = make_training(BATCH * steps, frames, 1, "float32")
    trainer = create_trainer(training, config)
    state, _ = trainer.program.create_state(
        sharding.put(fresh_params(training, config), trainer.feed.mesh, "member")
    )
    length, count, xs = next(iter(trainer.feed.dispatches(trainer.plan(0))))
    number = sharding.put(np.int32(count), trainer.feed.mesh)
    inputs = (trainer.member, trainer.feed.resident, xs, number)
    run = trainer.program.run_steps
    text = run.lower(state, *inputs, size=length).compile().as_text()
    state, _ = jax.block_until_ready(run(state, *inputs, size=length))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(run(state, *inputs, size=length))
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    found = re.findall(r'%([\w.-]+) = (\S+) (?:.*op_name="([^"]*)")?', text)
    operations = {name: f"{shape} {name} {origin}" for name, shape, origin in found}
    total = dict.fromkeys(PARTS, 0.0)
    for name, milliseconds in _own_times(events):
        total[_part(operations.get(name, f" {name} "))] += milliseconds / count
    return total


def _own_times(events: list[dict]) -> Iterator[tuple[str, float]]:
    """Operations' names and ms, without those of the operations inside them (loops)."""
    operations = [e for e in events if e.get("ph") == "X" and "hlo_op" in e.get("args", {})]
    around: dict[int, list[list]] = {}  # of each thread: name, end, own time
    for event in sorted(operations, key=lambda e: (e["ts"], -e["dur"])):
        open_ = around.setdefault(event["tid"], [])
        while open_ and open_[-1][1] <= event["ts"]:
            name, _, own = open_.pop()
            yield name, own / 1e3
        if open_:
            open_[-1][2] -= event["dur"]
        open_.append([event["args"]["hlo_op"], event["ts"] + event["dur"], event["dur"]])
    for open_ in around.values():
        yield from ((name, own / 1e3) for name, _, own in open_)


def _part(operation: str) -> str:
    return next(name for name, pattern in PARTS.items() if re.search(pattern, operation))


if __name__ == "__main__":
    main()
