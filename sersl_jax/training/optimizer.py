"""Adam as the paper trains (Sec. 4.3), and wav2vec 2.0's AdamW with a warm-up."""

from collections.abc import Sequence
from typing import Any

import jax
import optax

from sersl_jax.config import OptimizerConfig


def create_optimizer(
    config: OptimizerConfig, num_steps: int, frozen: Sequence[str] = ()
) -> optax.GradientTransformation:
    """The optimiser of `config.<stage>.optimizer`.

    Args:
      config: the stage's `optimizer`.
      num_steps: steps of the whole stage; linear and cosine schedules reach 0 at the last one.
      frozen: parameter paths (`embed`, `encoder/stack1`) that stay as they are.
    """
    rate = create_schedule(config, num_steps)
    adam = optax.chain(
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        optax.scale_by_adam(config.beta1, config.beta2, config.eps),
    )
    adam = optax.flatten(adam)  # one vector instead of dozens of arrays: less to compile and launch
    if config.weight_decay:
        adam = optax.chain(adam, optax.add_decayed_weights(config.weight_decay, _matrices))
    adam = optax.chain(adam, optax.scale_by_learning_rate(rate))
    if not frozen:
        return adam
    return optax.partition(
        {"train": adam, "freeze": optax.set_to_zero()}, lambda params: _labels(params, frozen)
    )


def create_schedule(config: OptimizerConfig, num_steps: int) -> optax.Schedule:
    """Learning rate by step; constant for "plateau", where the training loop scales the updates."""
    rate = config.learning_rate
    if config.schedule == "plateau":
        return optax.constant_schedule(rate)
    warmup = config.warmup_steps + round(config.warmup_share * num_steps)
    left = max(num_steps - warmup, 1)
    up = optax.linear_schedule(0.0, rate, warmup)
    if config.schedule == "cosine":
        down = optax.cosine_decay_schedule(rate, left)
    else:
        down = optax.linear_schedule(rate, 0.0, left)
    return optax.join_schedules([up, down], [warmup])


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
