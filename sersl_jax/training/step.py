"""The compiled parts of the training loop: many steps a dispatch, evaluation, end of an epoch.

A member is one independent training (a split, an ablation). All arrays of the state have a leading
axis of members; one program trains them together, each with its own examples, normaliser, task
weights, learning rate and best parameters.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Float

from sersl_jax.tasks import Task
from sersl_jax.training.input_pipeline import Batch, Resident, normalise
from sersl_jax.training.normaliser import Normaliser
from sersl_jax.training.objectives import Metrics, Objective

GRADIENT = "gradient_norm"
# Of every member: sum and count of each metric.
Totals = dict[str, tuple[Float[Array, "members *shape"], Float[Array, " members"]]]


@struct.dataclass
class Member:
    """What a member's steps need beside its state."""

    normaliser: Normaliser
    weights: dict[str, Any]  # of each task's loss [*members]
    key: Any  # uint32 [*members words]


@struct.dataclass
class TrainState:
    """All that changes while training, but for the best parameters."""

    params: Any
    opt_state: Any
    plateau: Any
    step: Any  # int [*members]
    totals: Any  # {metric: (total, count)} [*members]


@struct.dataclass
class Best:
    """The parameters of the best epoch so far."""

    params: Any
    value: Any  # of what chooses it, lower is better [*members]
    epoch: Any  # counted from 1; int [*members]


@dataclass(frozen=True)
class Choice:
    """How the best epoch is chosen.

    Attributes:
      select: the validation metric: loss, or the macro_f1 or accuracy of the only task.
      patience: a member's training counts no more after so many epochs without a better one ("early
        stopping criterion based on the development loss", Sec. 4.3); 0: it always counts.
    """

    select: str = "loss"
    patience: int = 0

    def value(self, scores: Mapping[str, Array], tasks: Sequence[Task]) -> Float[Array, " members"]:
        """What is compared; lower is better."""
        if self.select == "loss":
            return scores["loss"]
        (task,) = tasks
        return -scores[f"{self.select}_{task.name}"]


@dataclass(frozen=True)
class Program:
    """The compiled functions of one training on one mesh; see `create_program`."""

    mesh: Mesh
    num_steps: int | None  # that the learning rate's schedule was made for
    create_state: Callable[..., tuple[TrainState, Best]]
    run_steps: Callable[..., tuple[TrainState, Float[Array, " members"]]]
    evaluate: Callable[..., Totals]
    end_epoch: Callable[..., tuple[TrainState, Best, dict[str, Float[Array, " members"]]]]
    predict: Callable[..., dict[str, Float[Array, "members batch outputs"]]]


def create_program(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    plateau: optax.GradientTransformationExtraArgs | None,
    choice: Choice,
    clip: float,
    mesh: Mesh,
    num_steps: int | None = None,
) -> Program:
    """Compiles (at first use) what a training does on the devices of `mesh`.

    `num_steps` is what `optimizer` was made for, None where that is the same for any number.
    """
    steps = _Steps(objective, optimizer, plateau, choice, clip)

    def compiled(method: Callable, **options: Any) -> Callable:
        @functools.wraps(method)
        def on_mesh(*args, **kwargs):
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return method(*args, **kwargs)

        return jax.jit(on_mesh, compiler_options=_compiler_options(), **options)

    return Program(
        mesh,
        num_steps,
        compiled(steps.create_state),
        compiled(steps.run_steps, static_argnames="size", donate_argnums=0),
        compiled(steps.evaluate, static_argnames="size"),
        compiled(steps.end_epoch, donate_argnums=(0, 1)),
        compiled(steps.predict, static_argnames="size"),
    )


def _compiler_options() -> dict[str, str] | None:
    """By default XLA runs independent products at once on a CPU, which is slower on few cores."""
    if jax.default_backend() != "cpu":
        return None
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


@dataclass(frozen=True)
class _Steps:
    """What `Program` compiles. Public methods take all members, the others one."""

    objective: Objective
    optimizer: optax.GradientTransformation
    plateau: optax.GradientTransformationExtraArgs | None
    choice: Choice
    clip: float

    def create_state(self, params: Any) -> tuple[TrainState, Best]:
        return jax.vmap(self._create_state)(params)

    def run_steps(
        self, state: TrainState, member: Member, data: Resident | None, xs: Any, count, size: int
    ) -> tuple[TrainState, Float[Array, " members"]]:
        """`count` of the steps in `xs`; the state after them and the mean losses."""

        def body(number, carry):
            state, losses = carry
            x = jax.tree.map(lambda a: a[number], xs)
            state, loss = _over_members(self._train_step, state, member, data, x, size)
            return state, losses + loss

        carry = (state, jnp.zeros_like(state.step, jnp.float32))
        if len(jax.tree.leaves(xs)[0]) == 1:  # one step needs no loop
            return body(0, carry)
        state, losses = jax.lax.fori_loop(0, count, body, carry)
        return state, losses / count

    def evaluate(self, params, member: Member, data: Resident | None, xs: Any, size: int) -> Totals:
        return _over_members(self._eval_step, params, member, data, xs, size)

    def predict(self, params, member: Member, data: Resident | None, xs: Any, size: int):
        return _over_members(self._logits, params, member, data, xs, size)

    def end_epoch(
        self, state: TrainState, best: Best, totals: Totals, member: Member, epoch
    ) -> tuple[TrainState, Best, dict[str, Float[Array, " members"]]]:
        """Keeps the better parameters, steps the plateau; also gives the epoch's metrics."""
        train = jax.vmap(self._scores)(state.totals, member.weights)
        validation = jax.vmap(self._scores)(totals, member.weights)
        record = {f"train/{name}": value for name, value in train.items()}
        record |= {f"validation/{name}": value for name, value in validation.items()}
        if self.plateau is not None:
            record["learning_rate_scale"] = state.plateau.scale
            reduce = partial(_reduce, self.plateau)
            state = replace(state, plateau=jax.vmap(reduce)(state.plateau, validation["loss"]))
        state = replace(state, totals=jax.tree.map(jnp.zeros_like, state.totals))
        value = self.choice.value(validation, self.objective.tasks)
        return state, _keep_better(best, state.params, value, epoch, self.choice.patience), record

    def _create_state(self, params: Any) -> tuple[TrainState, Best]:
        names = (*self.objective.metrics, GRADIENT)
        state = TrainState(
            params,
            self.optimizer.init(params),
            None if self.plateau is None else self.plateau.init(params),
            jnp.zeros((), jnp.int32),
            {name: (jnp.zeros(()), jnp.zeros(())) for name in names},
        )
        return state, Best(params, jnp.array(jnp.inf), jnp.zeros((), jnp.int32))

    def _train_step(self, state: TrainState, member: Member, batch: Batch):
        key = jax.random.fold_in(jax.random.wrap_key_data(member.key), state.step)

        def loss(params):
            inputs = self._inputs(batch, member)
            return self.objective.loss(params, inputs, member.weights, key, state.step)

        (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        metrics[GRADIENT] = (optax.global_norm(gradient), jnp.ones(()))
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, state.params)
        if self.plateau is not None:
            updates = jax.tree.map(lambda u: u * state.plateau.scale, updates)
        after = TrainState(
            optax.apply_updates(state.params, updates),
            opt_state,
            state.plateau,
            state.step + 1,
            jax.tree.map(jnp.add, state.totals, metrics),
        )
        # A member with fewer batches than others is not updated in steps where it has no batch.
        active = batch.mask.any()
        return jax.tree.map(partial(jnp.where, active), after, state), jnp.where(active, value, 0.0)

    def _eval_step(self, params: Any, member: Member, batch: Batch) -> Metrics:
        zero = jnp.zeros((), jnp.int32)
        inputs = self._inputs(batch, member)
        return self.objective.loss(params, inputs, member.weights, None, zero)[1]

    def _logits(self, params: Any, member: Member, batch: Batch):
        return self.objective.logits(params, self._inputs(batch, member), None)

    def _inputs(self, batch: Batch, member: Member) -> dict[str, Any]:
        return {
            "inputs": normalise(batch, member.normaliser, self.clip),
            "lengths": batch.lengths,
            "labels": batch.labels,
            "mask": batch.mask,
        }

    def _scores(self, totals: Metrics, weights: dict[str, Any]) -> dict[str, Float[Array, ""]]:
        means = {name: total / jnp.maximum(count, 1.0) for name, (total, count) in totals.items()}
        return self.objective.scores(means, weights)


def _reduce(
    plateau: optax.GradientTransformationExtraArgs, state: Any, loss: Float[Array, ""]
) -> Any:
    return plateau.update({}, state, value=loss)[1]


def _over_members(
    function: Callable, carry: Any, member: Member, data: Resident | None, xs: Any, size: int
) -> Any:
    """A member's function on all, on the batches that `data` and indices (or `xs` alone) are."""
    if data is not None:
        xs = jax.vmap(lambda indices: data.gather(indices, size))(xs)
    return jax.vmap(function)(carry, member, xs)


def _keep_better(
    best: Best, params: Any, value: Float[Array, " members"], epoch: Any, patience: int
) -> Best:
    better = value < best.value
    if patience:  # whatever other members still train for
        better &= epoch - best.epoch <= patience

    def choose(new, old):
        return jnp.where(better.reshape(better.shape + (1,) * (new.ndim - 1)), new, old)

    return Best(
        jax.tree.map(choose, params, best.params),
        jnp.where(better, value, best.value),
        jnp.where(better, epoch, best.epoch),
    )
