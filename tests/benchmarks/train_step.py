"""Speed of the training step beside PyTorch, on the same machine in the same run.

python -m tests.benchmarks.train_step [--json=PATH] [--members=1,5,20] [--dtypes=float32,bfloat16]
python -m tests.benchmarks.train_step --devices=1,2,4,8 --notorch
python -m tests.benchmarks.train_step --stream=1000,100000      # peak memory of the streamed path

A step is forward, backward and Adam on 32 windows, dropout on, four pretext tasks. PyTorch
(pip install torch) runs the same network, tests/benchmarks/ser_torch.py.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from absl import app, flags

_JSON = flags.DEFINE_string("json", None, "Writes the figures here.")
_FRAMES = flags.DEFINE_list("frames", ["124", "160"], "Frames a window; 0: as CREMA-D's clips.")
_MEMBERS = flags.DEFINE_list("members", ["1"], "Members trained together.")
_DTYPES = flags.DEFINE_list("dtypes", ["float32"], "float32, bfloat16.")
_DEVICES = flags.DEFINE_list("devices", [], "Forced numbers of CPU devices.")
_STREAM = flags.DEFINE_list("stream", [], "Dataset sizes whose streaming is measured instead.")
_TORCH = flags.DEFINE_bool("torch", True, "Time PyTorch, too.")
_COMPILE = flags.DEFINE_bool("compile", False, "Time torch.compile, too.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed repetitions; the median is told.")
_STEPS = flags.DEFINE_integer("steps", 0, "Steps a repetition (0: 2 on a CPU, 200 on a GPU).")
_WINDOWS = flags.DEFINE_integer("windows", 320, "Windows of the epoch that is timed.")

BATCH = 32
TASKS = ("energy", "upper_face", "lower_face", "action_units")


def make_training(windows: int, frames: int, members: int, dtype: str, source=None):
    """A pre-training on made-up windows: resident, or from `source` where given."""
    from configs import ssl1
    from sersl_jax.config import create
    from sersl_jax.datasets.dataset import Dataset
    from sersl_jax.models.build import create_network
    from sersl_jax.pretext import registry
    from sersl_jax.tasks import Task
    from sersl_jax.training import input_pipeline
    from sersl_jax.training.normaliser import Normaliser
    from sersl_jax.training.objectives import Multitask
    from sersl_jax.training.trainer import Training

    fields = ssl1.get_config("paper")
    fields.dtype = dtype
    config = create(fields)
    random = np.random.default_rng(0)
    tasks = tuple(Task(name, registry.TASKS[name].classes) for name in TASKS)
    labels = {t.name: random.integers(0, len(t.classes), windows, np.int32) for t in tasks}
    base = Normaliser(np.zeros(130, np.float32), np.ones(130, np.float32))
    lengths = np.full(windows, frames, np.int32)
    if not frames:  # CREMA-D: 2.54 s on average, SD 0.5 s
        lengths = random.normal(158, 31, windows).clip(80, 311).astype(np.int32)
    resident = None
    if source is None:
        flat = random.normal(size=(lengths.sum(), 130)).astype(np.float32)
        starts = (np.cumsum(lengths) - lengths).astype(np.int32)
        resident = input_pipeline.Resident(flat, starts, lengths, labels)
        source = [{"llds": x} for x in np.split(flat, starts[1:])]
    corpus = Dataset(
        "pretext/made_up", "llds", pd.DataFrame({"speaker_id": np.zeros(windows, np.int8)}),
        labels, {}, lengths, None, {}, source,
    )  # fmt: skip
    storage = input_pipeline.Storage(corpus, base, np.dtype(np.float32))
    stacked = Normaliser(*(np.stack([a] * members) for a in (base.mean, base.std)))
    every = np.arange(windows)
    training = Training(
        "pretrain", [str(m) for m in range(members)],
        Multitask(create_network(config.model, tasks, dtype), tasks),
        corpus, (storage, resident), [every] * members, [every[:BATCH]] * members, stacked,
        {name: np.ones(members, np.float32) for name in TASKS}, seeds=list(range(members)),
    )  # fmt: skip
    return training, config


def time_ours(frames: int, members: int, dtype: str) -> dict[str, float]:
    """Milliseconds a step (of all members), compile time, examples/s over an epoch."""
    import jax

    from sersl_jax import sharding
    from sersl_jax.training.trainer import create_trainer, fresh_params

    if "XLA_FLAGS" not in os.environ:
        sharding.use_cores(BATCH)  # as main does
    training, config = make_training(_WINDOWS.value, frames, members, dtype)
    trainer = create_trainer(training, config)
    params = fresh_params(training, config)
    state, _ = trainer.program.create_state(sharding.put(params, trainer.feed.mesh, "member"))
    steps = _STEPS.value or (2 if jax.default_backend() == "cpu" else 200)

    def run(state, plan):
        for length, count, xs in trainer.feed.dispatches(plan):
            number = sharding.put(np.int32(count), trainer.feed.mesh)
            state, loss = trainer.program.run_steps(
                state, trainer.member, trainer.feed.resident, xs, number, length
            )
        jax.block_until_ready(loss)
        return state

    plan = (trainer.plan(0) * (1 + steps // len(trainer.plan(0))))[:steps]
    began = time.perf_counter()
    state = run(state, plan)
    first = time.perf_counter() - began
    seconds = []
    for _ in range(_REPEATS.value):
        began = time.perf_counter()
        state = run(state, plan)
        seconds.append((time.perf_counter() - began) / steps)
    if not frames:
        state = run(state, trainer.plan(1))  # compiles its lengths
    began = time.perf_counter()
    state = run(state, trainer.plan(1))
    epoch = time.perf_counter() - began
    return {
        "ms": 1e3 * float(np.median(seconds)),
        "compile_s": first - steps * float(np.median(seconds)),
        "examples_per_s": members * _WINDOWS.value / epoch,
    } | memory()


def time_torch(frames: int, compiled: bool) -> dict[str, float]:
    """The same step in PyTorch, and an epoch fed by a DataLoader."""
    import torch

    from tests.benchmarks import ser_torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(os.cpu_count() or 1)
    heads = {"energy": (1, "bce"), "upper": (1, "bce"), "lower": (1, "bce"), "au": (5, "ce")}
    config = ser_torch.SerConfig(causal=False, pooling="mean", task_heads=heads)
    network = ser_torch.SerNet(config).to(device)
    optimizer = ser_torch.pretrain_optim(network)
    mode = {"mode": "reduce-overhead"} if device == "cuda" else {}
    model = torch.compile(network, **mode) if compiled else network
    x = torch.randn(_WINDOWS.value, frames, 130)
    y = [torch.randint(0, 5 if kind == "ce" else 2, (len(x),)) for _, kind in heads.values()]
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, *y), BATCH, shuffle=True, drop_last=True
    )
    lengths = torch.full((BATCH,), frames, device=device)

    def step(x, *labels):
        named = {
            name: label.to(device) if kind == "ce" else label[:, None].to(device)
            for (name, (_, kind)), label in zip(heads.items(), labels, strict=True)
        }
        losses = ser_torch.train_step(model, config, optimizer, x.to(device), lengths, named)
        return float(losses["total"])  # waits for the device

    batch = next(iter(loader))
    began = time.perf_counter()
    step(*batch)
    first = time.perf_counter() - began
    seconds = []
    for _ in range(_REPEATS.value * (1 if device == "cpu" else 20)):
        began = time.perf_counter()
        step(*batch)
        seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    for batch in loader:
        step(*batch)
    epoch = time.perf_counter() - began
    median = float(np.median(seconds))
    speed = len(loader) * BATCH / epoch
    return {"ms": 1e3 * median, "compile_s": first - median, "examples_per_s": speed} | memory()


def memory() -> dict[str, float]:
    """Peak of this process in MB (on a GPU, of the device)."""
    if "jax" in sys.modules:
        stats = sys.modules["jax"].devices()[0].memory_stats()
        if stats:
            return {"peak_mb": stats["peak_bytes_in_use"] / 1e6}
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


class OnDisk:
    """Windows in an array_record file, by random access."""

    def __init__(self, path: Path, windows: int, frames: int):
        from array_record.python.array_record_module import ArrayRecordWriter

        if not path.exists():
            writer = ArrayRecordWriter(str(path), "group_size:1")
            random = np.random.default_rng(0)
            for _ in range(windows):
                writer.write(random.normal(size=(frames, 130)).astype(np.float32).tobytes())
            writer.close()
        from grain.sources import ArrayRecordDataSource

        self._source = ArrayRecordDataSource([str(path)])

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"llds": np.frombuffer(self._source[index], np.float32).reshape(-1, 130)}


def stream_memory(windows: int, frames: int = 16) -> dict[str, float]:
    """Peak memory after an epoch's batches were streamed, and the rate."""
    from sersl_jax.training.trainer import create_trainer

    with tempfile.TemporaryDirectory() as directory:
        source = OnDisk(Path(directory, "windows"), windows, frames)
        training, config = make_training(windows, frames, 1, "float32", source)
        trainer = create_trainer(training, config)
        began, seen = time.perf_counter(), 0
        for _, count, _ in trainer.feed.dispatches(trainer.plan(0)):
            seen += count * BATCH
        return {"examples_per_s": seen / (time.perf_counter() - began)} | memory()


def alone(*arguments: str, **environment: str) -> dict[str, float]:
    """The figures of one case, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.train_step", f"--repeats={_REPEATS.value}"]
    command += [f"--windows={_WINDOWS.value}", f"--steps={_STEPS.value}", *arguments, "--case"]
    out = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    return json.loads(out.stdout.splitlines()[-1])


_CASE = flags.DEFINE_bool("case", False, "Internal: one case, printed as JSON.")


def case() -> dict[str, float]:
    if _STREAM.value:
        return stream_memory(int(_STREAM.value[0]))
    if _TORCH.value:
        return time_torch(int(_FRAMES.value[0]), _COMPILE.value)
    return time_ours(int(_FRAMES.value[0]), int(_MEMBERS.value[0]), _DTYPES.value[0])


def main(_) -> None:
    if _CASE.value:
        print(json.dumps(case()))
        return
    figures = {}
    for size in _STREAM.value:
        figures[f"stream {size} windows"] = alone(f"--stream={size}")
    for frames in [] if _STREAM.value else _FRAMES.value:
        for dtype in _DTYPES.value:
            for members in _MEMBERS.value:
                for devices in _DEVICES.value or [""]:
                    force = f"--xla_force_host_platform_device_count={devices}"
                    name = f"sersl_jax {dtype} {frames} frames, {members} members"
                    figures[f"{name}, {devices} devices" if devices else name] = alone(
                        "--notorch", f"--frames={frames}", f"--members={members}",
                        f"--dtypes={dtype}", **({"XLA_FLAGS": force} if devices else {}),
                    )  # fmt: skip
        if _TORCH.value:
            figures[f"PyTorch eager {frames} frames"] = alone(f"--frames={frames}")
            if _COMPILE.value:
                figures[f"PyTorch compiled {frames} frames"] = alone(
                    f"--frames={frames}", "--compile"
                )
    table = pd.DataFrame(figures).T
    print(table.round(1).to_string())
    for frames in _FRAMES.value:
        ours = figures.get(f"sersl_jax float32 {frames} frames, 1 members")
        theirs = figures.get(f"PyTorch eager {frames} frames")
        if ours and theirs:
            figures[f"ratio to PyTorch eager, {frames} frames"] = ours["ms"] / theirs["ms"]
            print(f"ratio to PyTorch eager, {frames} frames: {ours['ms'] / theirs['ms']:.2f}")
    if _JSON.value:
        Path(_JSON.value).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    app.run(main)
