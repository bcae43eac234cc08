"""The context network of the published wav2vec 2.0 base model, to compare and to import."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from sersl_jax.models.dropout import dropout, seed, split
from sersl_jax.models.transformer import Activations, Mask, Seed, SelfAttention, allowed_keys

normal = nn.initializers.normal(0.02)


class PostNormBlock(nn.Module):
    """A layer whose LayerNorms follow the residual sums, with GELU (fairseq's base model)."""

    num_heads: int
    ffn_dim: int
    dropout: Mapping[str, float]
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Activations, allowed: Bool[Array, "batch frames frames"], root: Seed
    ) -> tuple[Activations, None]:
        """Returns `(x, None)`, as `nn.scan` wants it."""
        roots = [None] * 4 if root is None else split(root, 4)

        def norm(x, name):
            return nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32, name=name)(x).astype(self.dtype)

        def dense(x, features, name):
            return nn.Dense(features, kernel_init=normal, dtype=self.dtype, name=name)(x)

        attention = SelfAttention(
            self.num_heads, self.dropout["attention"], self.dtype, name="attention"
        )
        f = attention(x, allowed, roots[0])
        x = norm(x + dropout(f, self.dropout["residual"], roots[1]), "norm_attention")
        hidden = nn.gelu(dense(x, self.ffn_dim, "ffn_in"), approximate=False)
        f = dense(dropout(hidden, self.dropout["ffn"], roots[2]), x.shape[-1], "ffn_out")
        return norm(x + dropout(f, self.dropout["residual"], roots[3]), "norm_ffn"), None


class BaseContext(nn.Module):
    """wav2vec 2.0's own context network: convolutional positions and post-LN layers.

    Stands where `transformer.Encoder` does. Layers are never dropped as a whole (fairseq's
    layerdrop 0.05 is left out).
    """

    num_layers: int
    num_heads: int
    ffn_dim: int
    dropout: Mapping[str, float]
    dtype: jnp.dtype
    positions_kernel: int = 128
    positions_groups: int = 16

    @nn.compact
    def __call__(self, x: Activations, mask: Mask, key: PRNGKeyArray | None) -> Activations:
        """Encodes frames; `key` drives dropout, and `None` turns it off."""
        root = None if key is None else seed(key)
        roots = None if root is None else split(root, self.num_layers + 1)
        x = jnp.where(mask[..., None], x, 0).astype(self.dtype)
        pad = self.positions_kernel // 2
        positions = nn.Conv(
            x.shape[-1], self.positions_kernel, padding=[(pad, pad)],
            feature_group_count=self.positions_groups, dtype=self.dtype, name="positions",
        )(x)[:, : x.shape[1]]  # fmt: skip
        x = x + nn.gelu(positions, approximate=False)
        x = nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32, name="norm")(x).astype(self.dtype)
        x = dropout(x, self.dropout["embedding"], None if roots is None else roots[-1])
        blocks = nn.scan(
            PostNormBlock,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, 0),  # pyright: ignore[reportArgumentType]  # a tuple is right
            length=self.num_layers,
        )(self.num_heads, self.ffn_dim, self.dropout, self.dtype, name="blocks")
        x, _ = blocks(x, allowed_keys(mask, causal=False), None if roots is None else roots[:-1])
        return x
