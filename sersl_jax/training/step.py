"""The parts of the training loop that are compiled: steps, evaluation, the end of an epoch.

A member is one independent training (a split, a method). All arrays of the state have a leading
axis of members; one program trains them together, each with its own examples, normaliser, task
weights, learning rate and best parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct, traverse_util
from jaxtyping import Array, Float

from sersl_jax.config import AugmentConfig
from sersl_jax.training.augmentation import augment
from sersl_jax.training.best import Best, Choice, keep_better
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
    num_steps: Any  # int [*members], for the learning rate's schedule


@struct.dataclass
class TrainState:
    """All that changes while training, but for the best parameters."""

    params: Any
    opt_state: Any
    plateau: Any
    average: Any  # of the parameters over steps, or None
    step: Any  # int [*members]
    totals: Any  # {metric: (total, count)} [*members]

    @property
    def chosen(self) -> Any:
        """The parameters that are validated, kept and tested."""
        return self.params if self.average is None else self.average


@dataclass(frozen=True)
class Steps:
    """The functions that `Program` compiles. Public methods take all members, private ones one.

    Attributes:
      objective: what is minimised.
      optimizer, plateau: made by `optimizer.py`; `plateau` is None for other schedules.
      choice: how the best epoch is chosen.
      clip: limit of z-normalised LLDs; 0: none.
      ema_decay: decay of the averaged parameters; 0: no average.
      augment: what is done to training batches.
      frozen: parameter paths whose running statistics stay as they are.
    """

    objective: Objective
    optimizer: optax.GradientTransformationExtraArgs
    plateau: optax.GradientTransformationExtraArgs | None
    choice: Choice
    clip: float
    ema_decay: float
    augment: AugmentConfig
    frozen: Sequence[str]

    def create_state(self, params: Any) -> tuple[TrainState, Best]:
        """The state before the first step."""
        return jax.vmap(self._create_state)(params)

    def run_steps(
        self, state: TrainState, member: Member, data: Resident | None, xs: Any, count, size: int
    ) -> tuple[TrainState, Float[Array, " members"]]:
        """Trains for the first `count` steps of `xs`; returns the state and the mean losses."""

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
        """Metrics of one batch, summed."""
        return _over_members(self._eval_step, params, member, data, xs, size)

    def predict(self, params, member: Member, data: Resident | None, xs: Any, size: int):
        """Logits of one batch."""
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
        value = self.choice.value(validation, self.objective.main_tasks)
        return state, keep_better(best, state.chosen, value, epoch, self.choice.patience), record

    def _create_state(self, params: Any) -> tuple[TrainState, Best]:
        names = (*self.objective.metrics, GRADIENT)
        state = TrainState(
            params,
            self.optimizer.init(params),
            None if self.plateau is None else self.plateau.init(params),
            jax.tree.map(jnp.copy, params) if self.ema_decay else None,
            jnp.zeros((), jnp.int32),
            {name: (jnp.zeros(()), jnp.zeros(())) for name in names},
        )
        return state, Best(params, jnp.array(jnp.inf, jnp.float32), jnp.zeros((), jnp.int32))

    def _train_step(self, state: TrainState, member: Member, batch: Batch):
        key = jax.random.fold_in(jax.random.wrap_key_data(member.key), state.step)

        def loss(params):
            inputs = self._augmented(self._inputs(batch, member), key)
            value, metrics, measured = self.objective.loss(
                params, inputs, member.weights, key, state.step
            )
            return value, (metrics, measured)

        (value, (metrics, measured)), gradient = jax.value_and_grad(loss, has_aux=True)(
            state.params
        )
        metrics[GRADIENT] = (optax.global_norm(gradient), jnp.ones(()))
        updates, opt_state = self.optimizer.update(
            gradient, state.opt_state, state.params, num_steps=member.num_steps
        )
        if self.plateau is not None:
            updates = jax.tree.map(lambda u: u * state.plateau.scale, updates)
        params = with_measured(optax.apply_updates(state.params, updates), measured, self.frozen)
        after = TrainState(
            params,
            opt_state,
            state.plateau,
            self._average(state, params),
            state.step + 1,
            jax.tree.map(jnp.add, state.totals, metrics),
        )
        # A member with fewer batches than others is not updated in steps where it has no batch.
        active = batch.mask.any()
        return jax.tree.map(partial(jnp.where, active), after, state), jnp.where(active, value, 0.0)

    def _average(self, state: TrainState, params: Any) -> Any:
        """Exponential moving average; the first steps weigh more, so that it starts quickly."""
        if state.average is None:
            return None
        decay = jnp.minimum(self.ema_decay, (1 + state.step) / (10 + state.step))
        return optax.incremental_update(params, state.average, 1 - decay)

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

    def _augmented(self, inputs: dict[str, Any], key: Any) -> dict[str, Any]:
        if inputs["inputs"].ndim < 3:  # waveforms
            return inputs
        own = jax.random.fold_in(key, 1)  # dropout's keys are split from `key`
        return augment(inputs, self.augment, self.objective.tasks, own)

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
    """Applies a function of one member to all; `xs` are batches, or indices into `data`."""
    if data is not None:
        xs = jax.vmap(lambda indices: data.gather(indices, size))(xs)
    return jax.vmap(function)(carry, member, xs)


def with_measured(params: Any, measured: Any, frozen: Sequence[str]) -> Any:
    """Puts running statistics in the place of the old ones, but for those of frozen parts."""
    new = {
        path: value
        for path, value in traverse_util.flatten_dict(measured, sep="/").items()
        if not any(f"{path}/".startswith(f"{part}/") for part in frozen)
    }
    return traverse_util.unflatten_dict(traverse_util.flatten_dict(params, sep="/") | new, sep="/")
