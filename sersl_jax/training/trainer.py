"""A training on the devices: what is trained, its program, its data and its plans."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from sersl_jax import sharding
from sersl_jax.config import Config, FinetuneConfig, PretrainConfig
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.training.best import Choice
from sersl_jax.training.input_pipeline import Feed, Resident, Step, Storage, plan_epoch, read_batch
from sersl_jax.training.normaliser import Normaliser
from sersl_jax.training.objectives import Objective
from sersl_jax.training.optimizer import create_optimizer, create_plateau
from sersl_jax.training.program import Program, create_program
from sersl_jax.training.step import Member, Steps, Totals, TrainState


@dataclass(frozen=True)
class Training:
    """What is trained: independent members that share an objective and a dataset.

    Attributes:
      stage: `pretrain` or `finetune`; `config.<stage>` says how.
      names: of the members, for metrics and messages.
      objective: what is minimised.
      dataset: the examples.
      inputs: how their inputs are kept, and all of them in memory, or None to stream from disk.
      train, validation: each member's examples; the latter choose its best epoch.
      normalisers: each member's, over its training speakers.
      weights: of each task's loss, per member.
      seeds: of each member's own randomness.
      select: the validation metric that chooses the best epoch: loss, macro_f1, accuracy or ccc.
      initial: parameters to start from, with a leading axis of members; None for fresh ones.
      frozen: parameter paths that stay as they are.
      info: stored with the checkpoint: what is needed to use the model.
    """

    stage: str
    names: Sequence[str]
    objective: Objective
    dataset: Dataset
    inputs: tuple[Storage, Resident | None]
    train: Sequence[Int[np.ndarray, " _"]]
    validation: Sequence[Int[np.ndarray, " _"]]
    normalisers: Normaliser
    weights: Mapping[str, Float[np.ndarray, " members"]]
    seeds: Sequence[int]
    select: str = "loss"
    initial: Any = None
    frozen: Sequence[str] = ()
    info: Mapping[str, Any] = field(default_factory=dict)

    def stage_of(self, config: Config) -> PretrainConfig | FinetuneConfig:
        """The fields of this training's stage."""
        return config.pretrain if self.stage == "pretrain" else config.finetune


@dataclass(frozen=True)
class Trainer:
    """A training on the devices: its program, data and plans. Made by `create_trainer`.

    Attributes:
      steps_per_epoch: of each member, which has no batch in the other steps of the largest one.
      num_steps: of each member, in all.
    """

    training: Training
    config: Config
    program: Program
    feed: Feed
    member: Member
    steps_per_epoch: Int[np.ndarray, " members"]
    num_steps: Int[np.ndarray, " members"]

    @property
    def epochs(self) -> Int[np.ndarray, " members"]:
        """Epochs that each member trains; the last one may be cut short by `steps`."""
        return -(-self.num_steps // self.steps_per_epoch)

    def plan(self, epoch: int) -> list[Step]:
        """The steps of a training epoch; a member that has had all of its steps has no batch."""
        steps = _plan(self.training, self.config, epoch)
        had = np.cumsum([(step.indices >= 0).any(axis=1) for step in steps], axis=0)
        over = epoch * self.steps_per_epoch + had > self.num_steps
        left = [
            replace(step, indices=np.where(done[:, None], -1, step.indices))
            for step, done in zip(steps, over, strict=True)
        ]
        return [step for step in left if (step.indices >= 0).any()]

    def plan_once(self, members: Sequence[Int[np.ndarray, " _"]]) -> list[Step]:
        """Steps that see each member's examples exactly once, in order of length."""
        lengths, stage = self.training.dataset.lengths, self.training.stage_of(self.config)
        bucket = _bucket(self.training, self.config)
        return plan_epoch(members, lengths, stage.batch_size, bucket, None, None)

    def compile_ahead(self, state: TrainState) -> None:
        """Compiles the programs of the first epoch's lengths, a thread each.

        A GPU's compiler takes 15 s for a length and uses one core: one after the other, they took
        an H200 three minutes. Batches that are streamed compile as they come. What cannot be
        compiled is told when it is to run.
        """
        feed, program = self.feed, self.program
        if feed.resident is None:
            return
        members, batch = self.plan(0)[0].indices.shape
        none = np.full((feed.max_steps, members, batch), -1, np.int32)
        xs = sharding.put(none, feed.mesh, None, "member", "data")
        count = sharding.put(np.int32(1), feed.mesh)
        inputs = self.member, feed.resident
        train = {step.length for step in self.plan(0)}
        check = {step.length for step in self.plan_once(self.training.validation)}
        with ThreadPoolExecutor(len(train) + len(check)) as threads:
            for n in train:
                threads.submit(_compile, program.run_steps, state, *inputs, xs, count, n)
            for n in check:
                threads.submit(_compile, program.evaluate, state.chosen, *inputs, xs[0], n)

    def totals(self, params: Any, members: Sequence[Int[np.ndarray, " _"]]) -> Totals:
        """Metrics summed over each member's examples."""
        found = []
        for length, count, xs in self.feed.dispatches(self.plan_once(members)):
            for number in range(count):
                x = jax.tree.map(lambda a, n=number: a[n], xs)
                out = self.program.evaluate(params, self.member, self.feed.resident, x, length)
                found.append(sharding.in_turn(out))
        return jax.tree.map(lambda *parts: sum(parts), *found)

    def logits(
        self, params: Any, members: Sequence[Int[np.ndarray, " _"]], task: str
    ) -> list[Float[np.ndarray, "_ outputs"]]:
        """Logits of each member's examples, in their order."""
        found: list[dict[int, np.ndarray]] = [{} for _ in members]
        plan = self.plan_once(members)
        steps = iter(plan)
        for length, count, xs in self.feed.dispatches(plan):
            for number in range(count):
                x = jax.tree.map(lambda a, n=number: a[n], xs)
                out = self.program.predict(params, self.member, self.feed.resident, x, length)
                values, indices = sharding.fetch(out[task]), next(steps).indices
                for member, place in np.argwhere(indices >= 0):
                    found[member][int(indices[member, place])] = values[member, place]
        return [np.stack([rows[int(i)] for i in m]) for rows, m in zip(found, members, strict=True)]


def create_trainer(training: Training, config: Config, program: Program | None = None) -> Trainer:
    """Puts a training on all devices of all processes; compiles at first use.

    `program` is that of another training that differs in its members alone; it is taken over
    where it was made for as many.
    """
    stage = training.stage_of(config)
    storage, resident = training.inputs
    mesh = sharding.create_mesh(len(training.names), stage.batch_size)
    keys = [jax.random.key_data(_key(config, seed)) for seed in training.seeds]
    steps_per_epoch = np.array([-(-len(x) // stage.batch_size) for x in training.train])
    num_steps = np.full_like(steps_per_epoch, stage.steps or stage.epochs * steps_per_epoch)
    normalisers = storage.relative(training.normalisers)
    member = Member(normalisers, dict(training.weights), np.stack(keys), num_steps.astype(np.int32))
    if program is None or program.mesh != mesh:
        steps = Steps(
            training.objective,
            create_optimizer(stage.optimizer, training.frozen),
            create_plateau(stage.optimizer) if stage.optimizer.schedule == "plateau" else None,
            Choice(training.select, stage.patience),
            config.data.normaliser_clip,
            stage.ema_decay,
            stage.augment,
            training.frozen,
        )
        program = create_program(steps, mesh)
    resident = resident and sharding.put(resident, mesh)
    many = 64 if resident else 2  # streamed batches travel, padded to as many steps
    max_steps = config.data.steps_per_dispatch or (1 if jax.default_backend() == "cpu" else many)
    feed = Feed(storage, resident, mesh, max_steps)
    member = sharding.put(member, mesh, "member")
    return Trainer(training, config, program, feed, member, steps_per_epoch, num_steps)


def fresh_params(training: Training, config: Config) -> Any:
    """Freshly initialised parameters of all members, as host arrays."""
    first = _plan(training, config, 0)[0]
    one = Step(first.length, first.indices[:, :1])
    batch = read_batch(training.inputs[0], one)

    def init(seed, inputs, lengths):
        inputs = inputs.astype(jnp.float32)
        return training.objective.init(seed, {"inputs": inputs, "lengths": lengths})

    keys = jnp.stack([_key(config, seed) for seed in training.seeds])
    # It runs once: optimising it takes longer than running it as it is.
    on_cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": "0"} if on_cpu else None
    init = jax.jit(jax.vmap(init), compiler_options=options)
    return jax.device_get(init(keys, batch.inputs, batch.lengths))


def _compile(function: Any, *arguments: Any) -> None:
    function.lower(*arguments).compile()


def _plan(training: Training, config: Config, epoch: int) -> list[Step]:
    """Each member's own permutation of its examples, one common order of steps."""
    return plan_epoch(
        training.train,
        training.dataset.lengths,
        training.stage_of(config).batch_size,
        _bucket(training, config),
        [np.random.default_rng([config.seed, epoch, seed]) for seed in training.seeds],
        np.random.default_rng([config.seed, epoch]),
    )


def _bucket(training: Training, config: Config) -> int:
    bucket = config.data.bucket
    return bucket.llds if training.dataset.input_name == "llds" else bucket.waveform


def _key(config: Config, seed: int) -> Any:
    return jax.random.fold_in(jax.random.key(config.seed), seed)
