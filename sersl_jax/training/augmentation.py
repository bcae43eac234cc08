"""Augmentation of training batches on the device, addressed by step like dropout.

Spans of frames and of descriptors are set to 0, their mean after z-normalisation (SpecAugment,
Park et al. 2019). A new augmentation is a function here, a field of `AugmentConfig` and a line in
`augment`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sersl_jax.config import AugmentConfig


def augment(
    llds: Float[Array, "batch frames llds"],
    lengths: Int[Array, " batch"],
    config: AugmentConfig,
    key: PRNGKeyArray,
) -> Float[Array, "batch frames llds"]:
    """The batch with random masks drawn from `key`; unchanged if none are configured."""
    batch, frames, size = llds.shape
    time_key, llds_key = jax.random.split(key)
    if config.time_masks:
        spans = draw_spans(time_key, lengths, frames, config.time_masks, config.time_width)
        llds = jnp.where(spans[:, :, None], 0, llds)
    if config.llds_masks:
        all_llds = jnp.full(batch, size)
        spans = draw_spans(llds_key, all_llds, size, config.llds_masks, config.llds_width)
        llds = jnp.where(spans[:, None, :], 0, llds)
    return llds


def draw_spans(
    key: PRNGKeyArray, lengths: Int[Array, " batch"], size: int, number: int, width: int
) -> Bool[Array, "batch size"]:
    """True in `number` spans a row, which start within its length and are 0 to `width` wide."""
    start_key, width_key = jax.random.split(key)
    shape = (len(lengths), number, 1)
    starts = jnp.floor(jax.random.uniform(start_key, shape) * lengths[:, None, None])
    widths = jax.random.randint(width_key, shape, 0, width + 1)
    positions = jnp.arange(size)
    return ((positions >= starts) & (positions < starts + widths)).any(axis=1)
