"""The speech emotion recognition network (Fig. 2): embedding, encoder, pooling, a head per task."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sersl_jax.models.dropout import dropout, seed
from sersl_jax.models.transformer import uniform_fan_in

Logits = dict[str, Float[Array, "batch outputs"]]


def valid(lengths: Int[Array, " batch"], size: Any) -> Bool[Array, "batch time"]:
    """True where a position lies within its row's length; `size` is symbolic in `jax.export`."""
    return jnp.arange(size) < lengths[:, None]


def mean_pool(
    x: Float[Array, "batch frames dim"], mask: Bool[Array, "batch frames"]
) -> Float[Array, "batch dim"]:
    """Mean over valid frames, in float32; zeros where a row has none."""
    total = jnp.where(mask[..., None], x, 0).sum(axis=1, dtype=jnp.float32)
    return total / jnp.maximum(mask.sum(axis=1, keepdims=True), 1)


def last_pool(
    x: Float[Array, "batch frames dim"], mask: Bool[Array, "batch frames"]
) -> Float[Array, "batch dim"]:
    """The last valid frame, in float32."""
    last = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)  # frames before it may be left out
    return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0].astype(jnp.float32)


def statistics_pool(
    x: Float[Array, "batch frames dim"], mask: Bool[Array, "batch frames"]
) -> Float[Array, "batch both"]:
    """Mean and standard deviation over valid frames, side by side, in float32."""
    mean = mean_pool(x, mask)
    variance = mean_pool((x - mean[:, None]) ** 2, mask)
    return jnp.concatenate([mean, jnp.sqrt(variance + 1e-5)], axis=1)


POOLING = {"mean": mean_pool, "last": last_pool, "statistics": statistics_pool}


class AttentionPool(nn.Module):
    """Weighted mean over valid frames, in float32; the weights are a softmax of learnt scores.

    All frames weigh the same at the start.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames dim"], mask: Bool[Array, "batch frames"]
    ) -> Float[Array, "batch dim"]:
        """Frames to one vector a row; empty rows give finite, meaningless values."""
        x = x.astype(jnp.float32)
        zeros = nn.initializers.zeros
        scores = nn.Dense(1, use_bias=False, kernel_init=zeros, name="score")(x)
        weights = nn.softmax(jnp.where(mask[..., None], scores, -1e9), axis=1)
        return (weights * jnp.where(mask[..., None], x, 0)).sum(axis=1)


class LldEmbedding(nn.Module):
    """Eq. 1's E: a linear map without bias, or (`projection=False`) the descriptors as they are."""

    dim: int
    projection: bool
    dtype: Any

    @nn.compact
    def __call__(
        self,
        llds: Float[Array, "batch frames llds"],
        num_frames: Int[Array, " batch"],
        key: PRNGKeyArray | None,
    ) -> tuple[Float[Array, "batch frames dim"], Bool[Array, "batch frames"]]:
        """Normalised descriptors to embedded frames and the mask of valid ones."""
        mask = valid(num_frames, llds.shape[1])
        if not self.projection:
            return llds.astype(self.dtype), mask
        linear = nn.Dense(
            self.dim, use_bias=False, kernel_init=uniform_fan_in, dtype=self.dtype,
            name="projection",
        )  # fmt: skip
        return linear(llds), mask


class Head(nn.Module):
    """Two fully-connected layers that end in a task's logits (Sec. 3.4), in float32."""

    num_outputs: int
    dropout: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch dim"], key: PRNGKeyArray | None
    ) -> Float[Array, "batch outputs"]:
        """Pooled representation to logits."""
        bound = x.shape[-1] ** -0.5

        def bias_init(key, shape, dtype=jnp.float32):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        def dense(features, name):
            return nn.Dense(
                features, kernel_init=uniform_fan_in, bias_init=bias_init, dtype=jnp.float32,
                name=name,
            )  # fmt: skip

        x = nn.relu(dense(x.shape[-1], "hidden")(x))
        return dense(self.num_outputs, "logits")(
            dropout(x, self.dropout, None if key is None else seed(key))
        )


class SerNet(nn.Module):
    """Embedding, encoder, pooling over valid frames, and one `head_<task>` a task.

    Attributes:
      embed: `(inputs, lengths, key) -> (frames, mask)`, see `LldEmbedding`.
      encoder: `(frames, mask, key) -> frames`, see `transformer.Encoder`.
      heads: number of outputs of each task.
    """

    embed: nn.Module
    encoder: nn.Module
    heads: Mapping[str, int]
    pooling: str
    head_dropout: float

    def setup(self):
        """Names the heads' parameters after their tasks, those of attention pooling `pool`."""
        self._pool = POOLING.get(self.pooling) or AttentionPool(name="pool")
        self._heads = {
            name: Head(outputs, self.head_dropout, name=f"head_{name}")
            for name, outputs in self.heads.items()
        }

    def represent(
        self,
        inputs: Float[Array, "batch time *features"],
        lengths: Int[Array, " batch"],
        key: PRNGKeyArray | None,
    ) -> Float[Array, "batch dim"]:
        """One vector a sequence; empty sequences give finite, meaningless values."""
        keys = (None, None) if key is None else jax.random.split(key)
        x, mask = self.embed(inputs, lengths, keys[0])
        return self._pool(self.encoder(x, mask, keys[1]), mask)

    def __call__(
        self,
        inputs: Float[Array, "batch time *features"],
        lengths: Int[Array, " batch"],
        key: PRNGKeyArray | None,
    ) -> Logits:
        """Logits of every task; `key` drives dropout, and `None` turns it off."""
        key, head_key = (None, None) if key is None else jax.random.split(key)
        z = self.represent(inputs, lengths, key)
        folded = {
            name: None if head_key is None else jax.random.fold_in(head_key, index)
            for index, name in enumerate(sorted(self.heads))
        }
        return {name: head(z, folded[name]) for name, head in self._heads.items()}
