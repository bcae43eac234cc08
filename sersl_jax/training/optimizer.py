"""Adam as the paper trains (Sec. 4.3), and wav2vec 2.0's AdamW with a warm-up."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sersl_jax.config import OptimizerConfig


def create_optimizer(
    config: OptimizerConfig, frozen: Sequence[str] = ()
) -> optax.GradientTransformationExtraArgs:
    """The optimiser of `config.<stage>.optimizer`; `update` also takes `num_steps`.

    Args:
      config: the stage's `optimizer`.
      frozen: parameter paths (`embed`, `encoder/stack1`) that stay as they are.
    """
    adam = optax.chain(
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        optax.scale_by_adam(config.beta1, config.beta2, config.eps),
    )
    adam = optax.flatten(adam)  # one vector instead of dozens of arrays: less to compile and launch
    if config.weight_decay:
        adam = optax.chain(adam, optax.add_decayed_weights(config.weight_decay, _matrices))
    adam = optax.chain(adam, _scale_by_learning_rate(config))
    if not frozen:
        return adam
    return optax.partition(
        {"train": adam, "freeze": optax.set_to_zero()}, lambda params: _labels(params, frozen)
    )


def learning_rate(config: OptimizerConfig, step: Any, num_steps: Any) -> Any:
    """The rate of a step; of "plateau" before the training loop scales the updates.

    `num_steps` are those of the whole stage; linear and cosine schedules reach 0 at the last one.
    Each member has its own: both are integers, or scalars of JAX, as the rate is then.
    """
    xp = np if isinstance(step, int) else jnp  # on the host nothing is compiled
    warmup = config.warmup_steps + xp.round(config.warmup_share * num_steps)
    up = xp.minimum(step / xp.maximum(warmup, 1), 1.0)
    done = xp.clip((step - warmup) / xp.maximum(num_steps - warmup, 1), 0.0, 1.0)
    down = {"plateau": 1.0, "linear": 1.0 - done, "cosine": (1.0 + xp.cos(np.pi * done)) / 2}
    return config.learning_rate * xp.where(step < warmup, up, down[config.schedule])


def _scale_by_learning_rate(config: OptimizerConfig) -> optax.GradientTransformationExtraArgs:
    """`optax.scale_by_learning_rate` of a schedule whose length is given at each update."""

    def init(params: Any) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

    def update(updates, state, params=None, **given):
        rate = learning_rate(config, state.count, given["num_steps"])
        updates = jax.tree.map(lambda u: jnp.asarray(-rate, u.dtype) * u, updates)
        return updates, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformationExtraArgs(init, update)


def _matrices(params: Any) -> Any:
    """Which parameters decay: not biases, scales and statistics, which layers may stack."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: _name(path).split("/")[-1] in ("kernel", "codebook"), params
    )


def create_plateau(config: OptimizerConfig) -> optax.GradientTransformationExtraArgs:
    """Learning rate x `plateau_factor` after `plateau_patience` epochs without a better loss."""
    return optax.contrib.reduce_on_plateau(
        config.plateau_factor,
        config.plateau_patience,
        config.plateau_threshold,
        min_scale=config.plateau_floor,
    )


def _labels(params: Any, frozen: Sequence[str]) -> Any:
    """`freeze` for every parameter below a frozen path; raises ValueError for an unknown path."""
    check_frozen(params, frozen)

    def label(path, _):
        return "freeze" if any(f"{_name(path)}/".startswith(f"{f}/") for f in frozen) else "train"

    return jax.tree_util.tree_map_with_path(label, params)


def check_frozen(params: Any, frozen: Sequence[str]) -> None:
    """Raises ValueError for a path that no parameter lies below."""
    paths = [_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for path in frozen:
        if not any(f"{p}/".startswith(f"{path}/") for p in paths):
            known = sorted({"/".join(p.split("/")[:2]) for p in paths})
            raise ValueError(
                f"config.finetune.freeze names {path!r}: there are no such parameters, but "
                f"{', '.join(known)}, and those below them"
            )


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
