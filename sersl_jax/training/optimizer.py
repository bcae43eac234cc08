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
      config: of the stage.
      num_steps: of the whole stage; `schedule="linear"` is 0 there.
      frozen: parameter paths (`embed`, `encoder/stack1`) that stay as they are.
    """
    rate = create_schedule(config, num_steps)
    adam = optax.chain(
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        optax.adamw(rate, config.beta1, config.beta2, config.eps, weight_decay=config.weight_decay),
    )
    adam = optax.flatten(adam)  # one vector instead of dozens of arrays: less to compile and launch
    if not frozen:
        return adam
    return optax.partition(
        {"train": adam, "freeze": optax.set_to_zero()}, lambda params: _labels(params, frozen)
    )


def create_schedule(config: OptimizerConfig, num_steps: int) -> optax.Schedule:
    """Learning rate by step; constant for "plateau", where the training loop scales the updates."""
    rate = config.learning_rate
    if config.schedule != "linear":
        return optax.constant_schedule(rate)
    up = optax.linear_schedule(0.0, rate, config.warmup_steps)
    down = optax.linear_schedule(rate, 0.0, max(num_steps - config.warmup_steps, 1))
    return optax.join_schedules([up, down], [config.warmup_steps])


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
