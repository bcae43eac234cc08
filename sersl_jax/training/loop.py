"""The only training loop: pre-training, supervised, fine-tuning and wav2vec 2.0 pass through it.

Everything random follows from (seed, epoch) or (key, step), so that a resumed training equals a
straight one, bit by bit on a CPU.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from sersl_jax import sharding
from sersl_jax.config import Config
from sersl_jax.training import profiler
from sersl_jax.training.best import Best
from sersl_jax.training.checkpoint import Checkpoints, is_saved
from sersl_jax.training.metric_writer import MetricWriter
from sersl_jax.training.optimizer import learning_rate
from sersl_jax.training.preemption import EXIT_CODE, Termination
from sersl_jax.training.program import Program
from sersl_jax.training.trainer import Trainer, Training, create_trainer, fresh_params


class DivergedError(ValueError):
    """A loss that is not finite."""


def fit(
    training: Training,
    config: Config,
    directory: Path,
    workdir: Path,
    program: Program | None = None,
) -> tuple[Trainer, Best]:
    """Trains to the end, from the latest checkpoint in `directory` where there is one.

    Returns the trainer and each member's best parameters. Raises `DivergedError` for a loss that is
    not finite. SIGTERM saves and exits with 143.
    """
    sharding.wait_for_all()
    with memory_advice(training, config, directory):
        trainer = create_trainer(training, config, program)
        loop = _Loop(trainer, Checkpoints(directory), workdir)
        try:
            while not loop.finished:
                with jax.transfer_guard("disallow"):
                    loop.train_epoch()
                loop.finish_epoch()
        finally:
            loop.close()
    return trainer, loop.best


@contextmanager
def memory_advice(training: Training, config: Config, directory: Path) -> Iterator[None]:
    """Where a device runs out of memory, raises `MemoryError` that says what to lower.

    Splits that have saved to `directory` together stay together.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        stage, members = training.stage, len(training.names)
        fewer = "config.finetune.parallel_members=1" if stage == "finetune" and members > 1 else ""
        if fewer and is_saved(directory):
            fewer += f" (once {directory} is deleted)"
        raise MemoryError(
            f"out of memory with {members} member(s) of batch_size "
            f"{training.stage_of(config).batch_size}: give the same command with "
            f"config.data.residency=stream{fewer and ' or '}{fewer}; or, in another --workdir, a "
            f"lower config.{stage}.batch_size or config.dtype=bfloat16"
        ) from error


class _Loop:
    """A training in progress: its state, its position (epoch and step), and what is left to do."""

    def __init__(self, trainer: Trainer, checkpoints: Checkpoints, workdir: Path):
        training = self.training = trainer.training
        self.trainer, self.checkpoints = trainer, checkpoints
        params = (
            fresh_params(training, trainer.config) if training.initial is None else training.initial
        )
        params = sharding.put(params, trainer.feed.mesh, "member")
        self.state, self.best = trainer.program.create_state(params)
        self.epoch, self.step = 0, 0
        restored = checkpoints.restore(self.state, self.best, training)
        if restored is not None:
            self.state, self.best, (self.epoch, self.step) = restored
        ahead = jax.default_backend() != "cpu" and jax.process_count() == 1
        if ahead and not self.finished:
            trainer.compile_ahead(self.state)
        self.saved = time.monotonic()
        self.metric_writer = MetricWriter(workdir, training.stage, training.names, self.epoch)
        sizes = np.array([len(examples) for examples in training.train])
        passes = trainer.num_steps / trainer.steps_per_epoch  # over each member's examples
        done = np.minimum(self.epoch + self.step / trainer.steps_per_epoch, passes)
        self.bar = tqdm(
            total=round(float(sizes @ passes)), initial=round(float(sizes @ done)),
            desc=f"{training.stage} {training.names[0]}" + ("" if len(training.names) == 1 else
                 f" to {training.names[-1]}"), unit="ex", disable=jax.process_index() != 0,
            mininterval=1.0, dynamic_ncols=True,
        )  # fmt: skip
        self.profile = workdir / "profile" if trainer.config.profile else None
        self.dispatched = 0
        self.termination = Termination()

    @property
    def finished(self) -> bool:
        """Whether all epochs are trained, or `patience` has stopped every member."""
        if self.step:
            return False
        patience = self.training.stage_of(self.trainer.config).patience
        waited = self.epoch - sharding.fetch(self.best.epoch)
        stopped = bool(patience) and bool((waited >= patience).all())
        return stopped or self.epoch >= int(self.trainer.epochs.max())

    def train_epoch(self) -> None:
        """The rest of this epoch's steps."""
        trainer, steps = self.trainer, self.trainer.plan(self.epoch)
        self.start_time, self.seen = time.monotonic(), 0
        for length, count, xs in trainer.feed.dispatches(steps[self.step :]):
            number = sharding.put(np.int32(count), trainer.feed.mesh)
            second = self.dispatched == 1  # the first one compiles
            with profiler.tracing(self.profile if second else None):
                self.state, losses = trainer.program.run_steps(
                    self.state, trainer.member, trainer.feed.resident, xs, number, length
                )
                losses = sharding.fetch(losses)
            self.dispatched += 1
            examples = sum(
                int((s.indices >= 0).sum()) for s in steps[self.step : self.step + count]
            )
            self.step += count
            self.seen += examples
            self._check_finite(losses)
            self.bar.update(examples)
            self.bar.set_postfix(loss=f"{losses.mean():.3f}", epoch=self.epoch + 1, refresh=False)
            self._save_if_due()

    def finish_epoch(self) -> None:
        """Validates, keeps the best parameters, lowers the rate on a plateau, writes metrics."""
        trainer, training = self.trainer, self.training
        rate = self.seen / max(time.monotonic() - self.start_time, 1e-9)
        totals = trainer.totals(self.state.chosen, training.validation)
        epoch = sharding.put(np.int32(self.epoch + 1), trainer.feed.mesh)
        self.state, self.best, record = trainer.program.end_epoch(
            self.state, self.best, totals, trainer.member, epoch
        )
        number = sharding.fetch(self.state.step)
        rows = _rows(trainer, self.epoch + 1, number, sharding.fetch(record), rate)
        scales = sharding.fetch(_residual_scales(self.state.params))
        for row in rows:
            row |= {name: values[row["member"]].tolist() for name, values in scales.items()}
        self._check_finite(np.array([row["validation/loss"] for row in rows]))
        for row in rows:
            means = {key.removeprefix("train/"): value for key, value in row.items()}
            if said := training.objective.warning(means):
                tqdm.write(f"warning: {training.stage} {row['name']}, epoch {row['epoch']}: {said}")
        self.metric_writer.add(rows)
        self.epoch, self.step = self.epoch + 1, 0
        self._save_if_due()

    def _save_if_due(self) -> None:
        """Saves every `checkpoint_seconds`, at the end and on SIGTERM (which then exits)."""
        terminated = sharding.any_process(self.termination.requested)
        late = time.monotonic() - self.saved > self.trainer.config.checkpoint_seconds
        if terminated:
            self.termination.acknowledge()
        finished = self.finished
        if terminated or finished or sharding.any_process(late):
            # Orbax skips a number that it has; an epoch's last step and its end are two.
            number = self.epoch * (int(self.trainer.steps_per_epoch.max()) + 1) + self.step
            position = (self.epoch, self.step)
            with jax.transfer_guard("allow"):
                self.checkpoints.save(
                    number, self.state, self.best, self.training, position, finished
                )
            self.saved = time.monotonic()
        if terminated:
            self.close()
            sys.exit(EXIT_CODE)

    def _check_finite(self, losses: Float[np.ndarray, " members"]) -> None:
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            names = ", ".join(self.training.names[i] for i in bad.tolist())
            raise DivergedError(
                f"the loss is not finite: stage {self.training.stage}, member {names}, epoch "
                f"{self.epoch + 1}, step {self.step}; last good checkpoint: "
                f"{self.checkpoints.latest}; a lower {self.training.stage}.optimizer.learning_rate "
                "usually helps"
            )

    def close(self) -> None:
        """Closes files and progress bar; restores the handler of SIGTERM."""
        self.bar.close()
        self.metric_writer.close()
        self.checkpoints.close()
        self.termination.close()


def _rows(
    trainer: Trainer,
    epoch: int,
    steps: Int[np.ndarray, " members"],
    record: Mapping[str, Any],
    rate: float,
) -> list[dict]:
    """An epoch's metrics as `metrics.jsonl` holds them, a row for each member that trained."""
    training = trainer.training
    optimizer = training.stage_of(trainer.config).optimizer
    rows = []
    for member, name in enumerate(training.names):
        if epoch > trainer.epochs[member]:
            continue
        row = {"stage": training.stage, "member": member, "name": name, "epoch": epoch}
        row |= {"step": int(steps[member]), "time": time.time(), "examples_per_second": rate}
        row |= {key: float(values[member]) for key, values in record.items()}
        scheduled = learning_rate(optimizer, row["step"], int(trainer.num_steps[member]))
        row["learning_rate"] = float(scheduled) * row.pop("learning_rate_scale", 1.0)
        for task, labels in training.dataset.labels.items():
            if f"validation/accuracy_{task}" not in row:
                continue
            share = _majority(labels[training.validation[member]])
            if share is not None:
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
    blocks = params.get("encoder", {}).get("stack2", {}).get("blocks", {})
    return {name: blocks[name] for name in ("alpha", "beta") if name in blocks}
