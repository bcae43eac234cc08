"""The compiled parts of the training loop: many steps a dispatch, evaluation, end of an epoch.

A member is one independent training (a split, an ablation). All arrays of the state have a leading
axis of members; one program trains them together, each with its own examples, normaliser, task
weights, learning rate and best parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float

from sersl_jax.corpus import Normaliser
from sersl_jax.input_pipeline import Batch, Resident, normalise
from sersl_jax.objectives import Metrics, Objective

GRADIENT = "gradient_norm"
# Of every member: sum and count of each metric.
Totals = dict[str, tuple[Float[Array, " members"], Float[Array, " members"]]]


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
    """The parameters of the best epoch so far, by validation loss."""

    params: Any
    loss: Any  # [*members]
    epoch: Any  # int [*members]


@dataclass(frozen=True)
class Program:
    """The compiled functions of one training; see `create_program`."""

    create_state: Callable[..., tuple[TrainState, Best]]
    run_steps: Callable[..., tuple[TrainState, Float[Array, " members"]]]
    evaluate: Callable[..., Totals]
    end_epoch: Callable[..., tuple[TrainState, Best, dict[str, Float[Array, " members"]]]]
    predict: Callable[..., dict[str, Float[Array, "members batch outputs"]]]


def create_program(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    plateau: optax.GradientTransformationExtraArgs | None,
    clip: float,
) -> Program:
    """Compiles (at first use) what a training does on its devices."""

    def inputs(batch: Batch, member: Member) -> dict[str, Any]:
        return {
            "inputs": normalise(batch, member.normaliser, clip),
            "lengths": batch.lengths,
            "labels": batch.labels,
            "mask": batch.mask,
        }

    def train_step(state: TrainState, member: Member, batch: Batch):
        key = jax.random.fold_in(jax.random.wrap_key_data(member.key), state.step)

        def loss(params):
            return objective.loss(params, inputs(batch, member), member.weights, key, state.step)

        (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        metrics[GRADIENT] = (optax.global_norm(gradient), jnp.ones(()))
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        if plateau is not None:
            updates = jax.tree.map(lambda u: u * state.plateau.scale, updates)
        after = TrainState(
            optax.apply_updates(state.params, updates),
            opt_state,
            state.plateau,
            state.step + 1,
            jax.tree.map(jnp.add, state.totals, metrics),
        )
        # A member with fewer batches than others stands still in the steps it has none for.
        active = batch.mask.any()
        return jax.tree.map(partial(jnp.where, active), after, state), jnp.where(active, value, 0.0)

    def eval_step(params, member: Member, batch: Batch) -> Metrics:
        zero = jnp.zeros((), jnp.int32)
        return objective.loss(params, inputs(batch, member), member.weights, None, zero)[1]

    def over_members(function):
        """Applies a member's function to all, on the batches that data and indices stand for."""

        def apply(carry, member, data, size, xs):
            if data is not None:
                xs = jax.vmap(lambda indices: data.gather(indices, size))(xs)
            return jax.vmap(function)(carry, member, xs)

        return apply

    def run_steps(state, member, data: Resident | None, xs, count, size: int):
        def body(number, carry):
            state, losses = carry
            x = jax.tree.map(lambda a: a[number], xs)
            state, loss = over_members(train_step)(state, member, data, size, x)
            return state, losses + loss

        carry = (state, jnp.zeros_like(state.step, jnp.float32))
        if len(jax.tree.leaves(xs)[0]) == 1:  # one step needs no loop
            return body(0, carry)
        state, losses = jax.lax.fori_loop(0, count, body, carry)
        return state, losses / count

    def evaluate(params, member, data: Resident | None, xs, size: int) -> Totals:
        return over_members(eval_step)(params, member, data, size, xs)

    def predict(params, member, data: Resident | None, xs, size: int):
        def logits(params, member, batch):
            return objective.logits(params, inputs(batch, member), None)

        return over_members(logits)(params, member, data, size, xs)

    def end_epoch(state: TrainState, best: Best, totals: Totals, member: Member, epoch):
        means = {name: total / jnp.maximum(count, 1.0) for name, (total, count) in totals.items()}
        loss = jax.vmap(objective.validation_loss)(means, member.weights)
        better = loss < best.loss

        def choose(new, old):
            return jnp.where(better.reshape(better.shape + (1,) * (new.ndim - 1)), new, old)

        best = Best(
            jax.tree.map(choose, state.params, best.params),
            jnp.minimum(loss, best.loss),
            jnp.where(better, epoch, best.epoch),
        )
        train = {name: t / jnp.maximum(c, 1.0) for name, (t, c) in state.totals.items()}
        record = {f"train/{name}": value for name, value in train.items()}
        record |= {f"validation/{name}": value for name, value in means.items()}
        record["validation/loss"] = loss
        record["train/loss"] = jax.vmap(objective.validation_loss)(train, member.weights)
        if plateau is not None:
            record["learning_rate_scale"] = state.plateau.scale

            def reduce(state_of_plateau, value):
                return plateau.update({}, state_of_plateau, value=value)[1]

            state = state.replace(plateau=jax.vmap(reduce)(state.plateau, loss))
        state = state.replace(totals=jax.tree.map(jnp.zeros_like, state.totals))
        return state, best, record

    def create_state(params) -> tuple[TrainState, Best]:
        def create(params):
            state = TrainState(
                params,
                optimizer.init(params),
                None if plateau is None else plateau.init(params),
                jnp.zeros((), jnp.int32),
                {name: (jnp.zeros(()), jnp.zeros(())) for name in (*objective.metrics, GRADIENT)},
            )
            return state, Best(params, jnp.array(jnp.inf), jnp.zeros((), jnp.int32))

        return jax.vmap(create)(params)

    compiled = partial(jax.jit, compiler_options=_compiler_options())
    return Program(
        compiled(create_state),
        compiled(run_steps, static_argnames="size", donate_argnums=0),
        compiled(evaluate, static_argnames="size"),
        compiled(end_epoch, donate_argnums=(0, 1)),
        compiled(predict, static_argnames="size"),
    )


def _compiler_options() -> dict[str, str] | None:
    """By default XLA runs independent products at once on a CPU, which is slower on few cores."""
    if jax.default_backend() != "cpu":
        return None
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
