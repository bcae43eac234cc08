"""Augmentation of training batches on the device, addressed by step like dropout.

Spans of frames and of descriptors are set to 0, their mean after z-normalisation (SpecAugment,
Park et al. 2019); clips and their labels are mixed in pairs (mixup, Zhang et al. 2018). A new
augmentation is a function here, a field of `AugmentConfig` and a line in `augment`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from sersl_jax.config import AugmentConfig
from sersl_jax.tasks import AnyTask


def augment(
    batch: Mapping[str, Any], config: AugmentConfig, tasks: Sequence[AnyTask], key: PRNGKeyArray
) -> dict[str, Any]:
    """The batch as an objective takes it, changed by what is configured, drawn from `key`."""
    llds, lengths = batch["inputs"], batch["lengths"]
    rows, frames, size = llds.shape
    time_key, llds_key = jax.random.split(key)
    if config.time_masks:
        spans = draw_spans(time_key, lengths, frames, config.time_masks, config.time_width)
        llds = jnp.where(spans[:, :, None], 0, llds)
    if config.llds_masks:
        all_llds = jnp.full(rows, size)
        spans = draw_spans(llds_key, all_llds, size, config.llds_masks, config.llds_width)
        llds = jnp.where(spans[:, None, :], 0, llds)
    changed = {**batch, "inputs": llds}
    if config.mixup:
        return mix(changed, config.mixup, tasks, jax.random.fold_in(key, 2))
    return changed


def mix(
    batch: Mapping[str, Any], alpha: float, tasks: Sequence[AnyTask], key: PRNGKeyArray
) -> dict[str, Any]:
    """Every clip mixed with another of the batch, of which it keeps the larger share.

    A clip keeps its length; labels become shares of the classes, attributes means.
    """
    partner_key, share_key = jax.random.split(key)
    partners = draw_partners(partner_key, batch["mask"])
    share = jax.random.beta(share_key, alpha, alpha, partners.shape)
    share = jnp.maximum(share, 1 - share)
    llds, lengths = batch["inputs"], batch["lengths"]
    kept = share[:, None, None]
    inside = jnp.arange(llds.shape[1])[:, None] < lengths[:, None, None]
    mixed = jnp.where(inside, kept * llds + (1 - kept) * llds[partners], 0)
    labels = {t.name: t.mix(batch["labels"][t.name], partners, share) for t in tasks}
    return {**batch, "inputs": mixed, "labels": {**batch["labels"], **labels}}


def draw_partners(key: PRNGKeyArray, mask: Bool[Array, " batch"]) -> Int[Array, " batch"]:
    """Another row for every row, random and each once; rows that only fill the batch have none."""
    order = jnp.argsort(jnp.where(mask, jax.random.uniform(key, mask.shape), 2.0))
    place, count = jnp.arange(len(mask)), mask.sum()
    following = jnp.where(place < count, (place + 1) % jnp.maximum(count, 1), place)
    return jnp.zeros_like(order).at[order].set(order[following])


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
