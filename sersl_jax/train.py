"""The only training loop: pre-training, supervised, fine-tuning and wav2vec 2.0 pass through it.

Everything random follows from (seed, epoch) or (key, step), so that a resumed training equals a
straight one, bit by bit on a CPU.
"""

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict
from tqdm import tqdm

from sersl_jax import sharding
from sersl_jax.checkpoint import Checkpoints
from sersl_jax.corpus import Corpus, Normaliser
from sersl_jax.input_pipeline import Feed, Resident, Step, Storage, plan_epoch, read_batch
from sersl_jax.objectives import Objective
from sersl_jax.optimizer import create_optimizer, create_plateau
from sersl_jax.records import Records
from sersl_jax.train_step import Best, Member, Program, Totals, create_program

TERMINATED = 143  # exit code of a run that SIGTERM ended, after saving


class DivergedError(ValueError):
    """A loss that is not finite."""


@dataclass(frozen=True)
class Training:
    """What is trained: independent members that share an objective and a corpus.

    Attributes:
      stage: `pretrain` or `finetune`; `config.<stage>` says how.
      names: of the members, for records and messages.
      objective: what is minimised.
      corpus, storage: the examples and how their inputs are kept.
      resident: the inputs in memory, or None to stream them from disk.
      train, validation: each member's examples; the latter choose its best epoch.
      normalisers: each member's, over its training speakers.
      weights: of each task's loss, per member.
      seeds: of each member's own randomness.
      initial: parameters to start from, with a leading axis of members; None for fresh ones.
      frozen: parameter paths that stay as they are.
      info: stored with the checkpoint: what is needed to use the model.
    """

    stage: str
    names: Sequence[str]
    objective: Objective
    corpus: Corpus
    storage: Storage
    resident: Resident | None
    train: Sequence[Int[np.ndarray, " _"]]
    validation: Sequence[Int[np.ndarray, " _"]]
    normalisers: Normaliser
    weights: Mapping[str, Float[np.ndarray, " members"]]
    seeds: Sequence[int]
    initial: Any = None
    frozen: Sequence[str] = ()
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Engine:
    """A training on the devices: its program, data and plans. Made by `create_engine`."""

    training: Training
    config: ConfigDict
    program: Program
    feed: Feed
    member: Member
    num_steps: int
    steps_per_epoch: int

    @property
    def num_epochs(self) -> int:
        """Epochs to train; the last one may be cut short by `steps`."""
        return -(-self.num_steps // self.steps_per_epoch)

    def plan(self, epoch: int) -> list[Step]:
        """The steps of a training epoch."""
        return _plan(self.training, self.config, epoch)[
            : self.num_steps - epoch * self.steps_per_epoch
        ]

    def plan_once(self, members: Sequence[Int[np.ndarray, " _"]]) -> list[Step]:
        """Steps that see each member's examples exactly once, in order of length."""
        corpus, stage = self.training.corpus, self.config[self.training.stage]
        bucket = self.config.data.bucket[corpus.input_name]
        return plan_epoch(members, corpus.lengths, stage.batch_size, bucket, None, None)

    def totals(self, params: Any, members: Sequence[Int[np.ndarray, " _"]]) -> Totals:
        """Metrics summed over each member's examples."""
        found = []
        for length, count, xs in self.feed.dispatches(self.plan_once(members)):
            for number in range(count):
                x = jax.tree.map(lambda a, n=number: a[n], xs)
                found.append(
                    self.program.evaluate(params, self.member, self.feed.resident, x, length)
                )
        return jax.tree.map(lambda *parts: sum(parts), *found)

    def logits(
        self, params: Any, members: Sequence[Int[np.ndarray, " _"]], task: str
    ) -> list[Float[np.ndarray, "_ outputs"]]:
        """Logits of each member's examples, in their order."""
        found: list[dict[int, np.ndarray]] = [{} for _ in members]
        steps = iter(self.plan_once(members))
        for length, count, xs in self.feed.dispatches(self.plan_once(members)):
            for number in range(count):
                x = jax.tree.map(lambda a, n=number: a[n], xs)
                out = self.program.predict(params, self.member, self.feed.resident, x, length)
                values, indices = sharding.fetch(out[task]), next(steps).indices
                for member, place in np.argwhere(indices >= 0):
                    found[member][int(indices[member, place])] = values[member, place]
        return [np.stack([rows[int(i)] for i in m]) for rows, m in zip(found, members, strict=True)]


def create_engine(training: Training, config: ConfigDict, program: Program | None = None) -> Engine:
    """Puts a training on all devices of all processes; compiles at first use.

    `program` is that of another training that differs in its members alone.
    """
    stage = config[training.stage]
    mesh = sharding.create_mesh(len(training.names), stage.batch_size)
    keys = [jax.random.key_data(_key(config, seed)) for seed in training.seeds]
    member = Member(
        training.storage.relative(training.normalisers), dict(training.weights), np.stack(keys)
    )
    steps_per_epoch = len(_plan(training, config, 0))
    num_steps = stage.steps or stage.epochs * steps_per_epoch
    on_plateau = stage.optimizer.schedule == "plateau"
    program = program or create_program(
        training.objective,
        create_optimizer(stage.optimizer, num_steps, training.frozen),
        create_plateau(stage.optimizer) if on_plateau else None,
        config.data.normaliser_clip,
    )
    resident = training.resident and sharding.put(training.resident, mesh)
    most = config.data.steps_per_dispatch or (1 if jax.default_backend() == "cpu" else 64)
    feed = Feed(training.corpus, training.storage, resident, mesh, most)
    member = sharding.put(member, mesh, "member")
    return Engine(training, config, program, feed, member, num_steps, steps_per_epoch)


def fresh_params(training: Training, config: ConfigDict) -> Any:
    """Freshly initialised parameters of all members, as host arrays."""
    first = _plan(training, config, 0)[0]
    one = Step(first.length, first.indices[:, :1])
    batch = read_batch(training.corpus, training.storage, one)

    def init(seed, inputs, lengths):
        inputs = inputs.astype(jnp.float32)
        return training.objective.init(seed, {"inputs": inputs, "lengths": lengths})

    keys = jnp.stack([_key(config, seed) for seed in training.seeds])
    return jax.device_get(jax.jit(jax.vmap(init))(keys, batch.inputs, batch.lengths))


def fit(
    training: Training,
    config: ConfigDict,
    directory: Path,
    workdir: Path,
    program: Program | None = None,
) -> tuple[Engine, Best]:
    """Trains to the end, from the latest checkpoint in `directory` where there is one.

    Returns the engine and each member's best parameters. Raises `DivergedError` for a loss that is
    not finite. SIGTERM saves and exits with 143.
    """
    engine = create_engine(training, config, program)
    loop = _Loop(engine, Checkpoints(directory), workdir)
    while loop.epoch < engine.num_epochs:
        with jax.transfer_guard("disallow"):
            loop.train_epoch()
        loop.finish_epoch()
    loop.close()
    return engine, loop.best


class _Loop:
    """Where a training stands, and how it goes on."""

    def __init__(self, engine: Engine, checkpoints: Checkpoints, workdir: Path):
        training = self.training = engine.training
        self.engine, self.checkpoints = engine, checkpoints
        params = (
            fresh_params(training, engine.config) if training.initial is None else training.initial
        )
        params = sharding.put(params, engine.feed.mesh, "member")
        self.state, self.best = engine.program.create_state(params)
        self.epoch, self.step = 0, 0
        restored = checkpoints.restore(self.state, self.best, training)
        if restored is not None:
            self.state, self.best, (self.epoch, self.step) = restored
        self.saved = time.monotonic()
        self.records = Records(workdir, training.stage, training.names, self.epoch)
        self.examples = sum(map(len, training.train))
        self.bar = tqdm(
            total=round(self.examples * engine.num_steps / engine.steps_per_epoch),
            initial=round(self.examples * (self.epoch + self.step / engine.steps_per_epoch)),
            desc=f"{training.stage} {training.names[0]}" + ("" if len(training.names) == 1 else
                 f" to {training.names[-1]}"), unit="ex", disable=jax.process_index() != 0,
            mininterval=1.0, dynamic_ncols=True,
        )  # fmt: skip
        self.terminated = False
        self._previous_handler = signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, *_: Any) -> None:
        self.terminated = True

    def train_epoch(self) -> None:
        """The rest of this epoch's steps."""
        engine, steps = self.engine, self.engine.plan(self.epoch)
        self.began, self.first = time.monotonic(), self.step
        for length, count, xs in engine.feed.dispatches(steps[self.step :]):
            number = sharding.put(np.int32(count), engine.feed.mesh)
            self.state, losses = engine.program.run_steps(
                self.state, engine.member, engine.feed.resident, xs, number, length
            )
            losses = sharding.fetch(losses)
            examples = sum(
                int((s.indices >= 0).sum()) for s in steps[self.step : self.step + count]
            )
            self.step += count
            self._check_finite(losses)
            self.bar.update(examples)
            self.bar.set_postfix(loss=f"{losses.mean():.3f}", epoch=self.epoch + 1, refresh=False)
            self._save_if_due()

    def finish_epoch(self) -> None:
        """Validates, keeps the best, lowers the learning rate on a plateau, writes the records."""
        engine, training = self.engine, self.training
        seconds, steps = time.monotonic() - self.began, self.step - self.first
        totals = engine.totals(self.state.params, training.validation)
        epoch = sharding.put(np.int32(self.epoch + 1), engine.feed.mesh)
        self.state, self.best, record = engine.program.end_epoch(
            self.state, self.best, totals, engine.member, epoch
        )
        rate = steps / engine.steps_per_epoch * self.examples / max(seconds, 1e-9)
        rows = _rows(engine, self.epoch + 1, sharding.fetch(record), rate)
        scales = sharding.fetch(_residual_scales(self.state.params))
        for member, row in enumerate(rows):
            row["step"] = int(sharding.fetch(self.state.step)[member])
            row |= {name: values[member].tolist() for name, values in scales.items()}
        self._check_finite(np.array([row["validation/loss"] for row in rows]))
        self.records.add(rows)
        self.epoch, self.step = self.epoch + 1, 0
        self._save_if_due(now=self.epoch == engine.num_epochs)

    def _save_if_due(self, now: bool = False) -> None:
        """Saves every `checkpoint_seconds`, at the end and on SIGTERM (which then exits)."""
        terminated = sharding.any_process(self.terminated)
        late = time.monotonic() - self.saved > self.engine.config.checkpoint_seconds
        if terminated or now or sharding.any_process(late):
            number = self.epoch * self.engine.steps_per_epoch + self.step
            position = (self.epoch, self.step)
            self.checkpoints.save(number, self.state, self.best, self.training, position)
            self.saved = time.monotonic()
        if terminated:
            self.close()
            sys.exit(TERMINATED)

    def _check_finite(self, losses: Float[np.ndarray, " members"]) -> None:
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            names = ", ".join(self.training.names[i] for i in bad)
            raise DivergedError(
                f"the loss is not finite: stage {self.training.stage}, member {names}, epoch "
                f"{self.epoch + 1}, step {self.step}; last good checkpoint: "
                f"{self.checkpoints.latest}; a lower {self.training.stage}.optimizer.learning_rate "
                "usually helps"
            )

    def close(self) -> None:
        """Ends records and progress bar; hands SIGTERM back."""
        self.bar.close()
        self.records.close()
        self.checkpoints.close()
        signal.signal(signal.SIGTERM, self._previous_handler)


def _plan(training: Training, config: ConfigDict, epoch: int) -> list[Step]:
    """Each member's own permutation of its examples, one common order of steps."""
    return plan_epoch(
        training.train,
        training.corpus.lengths,
        config[training.stage].batch_size,
        config.data.bucket[training.corpus.input_name],
        [np.random.default_rng([config.seed, epoch, seed]) for seed in training.seeds],
        np.random.default_rng([config.seed, epoch]),
    )


def _key(config: ConfigDict, seed: int) -> Any:
    return jax.random.fold_in(jax.random.key(config.seed), seed)


def _rows(engine: Engine, epoch: int, record: Mapping[str, Any], rate: float) -> list[dict]:
    """An epoch's metrics as `metrics.jsonl` holds them, one row a member."""
    training = engine.training
    stage = engine.config[training.stage]
    rows = []
    for member, name in enumerate(training.names):
        row = {"stage": training.stage, "member": member, "name": name, "epoch": epoch}
        row |= {"time": time.time(), "examples_per_second": rate}
        row |= {key: float(values[member]) for key, values in record.items()}
        row["learning_rate"] = stage.optimizer.learning_rate * row.pop("learning_rate_scale", 1.0)
        for task, labels in training.corpus.labels.items():
            share = _majority(labels[training.validation[member]])
            if f"validation/accuracy_{task}" in row and share is not None:
                row[f"validation/majority_{task}"] = share
        rows.append(row)
    return rows


def _majority(labels: np.ndarray) -> float | None:
    """Share of the most frequent known class."""
    numbers = labels if labels.ndim == 1 else labels.argmax(axis=1)
    numbers = numbers[numbers >= 0]
    return float(np.bincount(numbers).max() / len(numbers)) if len(numbers) else None


def _residual_scales(params: Any) -> dict[str, Any]:
    """Stack 2's alpha and beta per member and layer, where there are any."""
    blocks = params["encoder"]["stack2"]["blocks"]
    return {name: blocks[name] for name in ("alpha", "beta") if name in blocks}
