"""Convolutions over LLD frames: neighbouring frames are read together before attention."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sersl_jax.features import llds as descriptors
from sersl_jax.models.dropout import dropout, seed, split
from sersl_jax.models.ser import mean_pool, valid
from sersl_jax.models.transformer import uniform_fan_in

Frames = Float[Array, "batch frames dim"]
Mask = Bool[Array, "batch frames"]

_LEVEL = descriptors.NAMES.index("pcm_RMSenergy_sma")
_VOICE = ("F0final", "voicing", "jitter", "shimmer", "logHNR", "pcm_zcr", "mfcc")
# Descriptors by what they are of; "voice" is pitch, its quality, zero crossings and MFCCs: neither
# level nor the spectrum's bands and shape, in which microphones and rooms differ most.
DESCRIPTORS = {
    "all": tuple(range(descriptors.NUM_LLDS)),
    "voice": tuple(n for n, name in enumerate(descriptors.NAMES) if name.startswith(_VOICE)),
}


def loudest(x: Frames, mask: Mask, share: float) -> Mask:
    """Those of the valid frames of LLDs whose RMS energy is among a row's highest `share`.

    At least one; all that are as loud as the last of them.
    """
    level = x[..., _LEVEL]
    ascending = jnp.sort(jnp.where(mask, level, jnp.inf), axis=1)
    count = mask.sum(axis=1, keepdims=True)
    first = jnp.floor((1 - share) * count).astype(jnp.int32).clip(0, jnp.maximum(count - 1, 0))
    return mask & (level >= jnp.take_along_axis(ascending, first, axis=1))


def average_frames(
    x: Frames, mask: Mask, stride: int
) -> tuple[Float[Array, "batch fewer_frames dim"], Bool[Array, "batch fewer_frames"]]:
    """Means of `stride` neighbouring frames each, over the valid ones; and the mask of the result.

    A group of which some frames are not valid is the mean of the others.
    """
    padding = (0, -x.shape[1] % stride)
    x, mask = jnp.pad(x, ((0, 0), padding, (0, 0))), jnp.pad(mask, ((0, 0), padding))
    batch, frames, dim = x.shape
    grouped = (batch, frames // stride, stride)
    total = jnp.where(mask[..., None], x, 0).reshape(*grouped, dim).sum(axis=2)
    count = mask.reshape(grouped).sum(axis=2)
    return total / jnp.maximum(count, 1)[..., None], count > 0


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) over the valid frames of a batch.

    The running mean and variance are parameters without a gradient. In training the module sows
    their next values in the collection `measured`, and the training step puts them in place.
    """

    momentum: float = 0.9

    @nn.compact
    def __call__(self, x: Frames, mask: Mask, training: bool) -> Frames:
        """Normalises in float32: by the batch in training, else by the running statistics."""
        zeros, ones = nn.initializers.zeros, nn.initializers.ones
        features, kept = x.shape[-1:], x.astype(jnp.float32)
        scale, bias = self.param("scale", ones, features), self.param("bias", zeros, features)
        mean, variance = self.param("mean", zeros, features), self.param("variance", ones, features)
        if training:
            count = jnp.maximum(mask.sum(), 1)
            inside = mask[..., None]
            now = jnp.where(inside, kept, 0).sum(axis=(0, 1)) / count
            spread = jnp.where(inside, (kept - now) ** 2, 0).sum(axis=(0, 1)) / count
            self._sow("mean", mean, now)
            self._sow("variance", variance, spread)
            mean, variance = now, spread
        return ((kept - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + bias).astype(x.dtype)

    def _sow(self, name: str, old: Float[Array, " dim"], new: Float[Array, " dim"]) -> None:
        value = jax.lax.stop_gradient(self.momentum * old + (1 - self.momentum) * new)
        self.sow("measured", name, value, reduce_fn=lambda _, last: last, init_fn=lambda: value)


class ConvEmbedding(nn.Module):
    """Averages the `loudest` frames, subtracts a clip's mean (`center`), convolves over time.

    `descriptors` names those that it sees (`DESCRIPTORS`); `loudest` is a share of a clip's frames.
    Every convolution is followed by batch normalisation, ReLU and dropout. It is written as one
    product over `kernel` neighbouring frames, which XLA multiplies well for one member and many.
    """

    dim: int
    kernels: tuple[int, ...]
    stride: int
    center: bool
    descriptors: str
    loudest: float
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(
        self,
        llds: Float[Array, "batch frames llds"],
        num_frames: Int[Array, " batch"],
        key: PRNGKeyArray | None,
    ) -> tuple[Float[Array, "batch fewer_frames dim"], Bool[Array, "batch fewer_frames"]]:
        """Normalised descriptors to embedded frames and the mask of valid ones."""
        mask = valid(num_frames, llds.shape[1])
        if self.loudest < 1:
            mask = loudest(llds, mask, self.loudest)
        if self.descriptors != "all":
            llds = llds[..., DESCRIPTORS[self.descriptors]]
        x, mask = average_frames(llds, mask, self.stride)
        inside = mask[..., None]
        if self.center:
            x = jnp.where(inside, x - mean_pool(x, mask)[:, None], 0)
        roots = [None] * len(self.kernels) if key is None else split(seed(key), len(self.kernels))
        for number, size in enumerate(self.kernels):
            dense = nn.Dense(
                self.dim, use_bias=False, kernel_init=uniform_fan_in, dtype=self.dtype,
                name=f"conv_{number}",
            )  # fmt: skip
            x = BatchNorm(name=f"norm_{number}")(dense(neighbours(x, size)), mask, key is not None)
            x = jnp.where(inside, dropout(nn.relu(x), self.dropout, roots[number]), 0)
        return x, mask


def neighbours(x: Frames, size: int) -> Float[Array, "batch frames several"]:
    """Every frame side by side with its neighbours, `size` in all; zeros beyond the ends."""
    frames = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (size // 2, (size - 1) // 2), (0, 0)))
    return jnp.concatenate([padded[:, k : k + frames] for k in range(size)], axis=-1)
