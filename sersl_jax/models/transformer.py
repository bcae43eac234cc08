"""The paper's two stacks of self-attention layers (Sec. 3.4): plain, then with learnable scaling.

Where the paper is silent, the authors' earlier public network decides; every such point is a field
of `config.model`. The layers of a stack are stacked and scanned, so that compiling takes seconds.
"""

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from sersl_jax.models.attention import attend
from sersl_jax.models.dropout import dropout, seed, split

Seed = UInt32[Array, ""] | None
Activations = Float[Array, "batch frames dim"]
Mask = Bool[Array, "batch frames"]

# Bound 1/sqrt(fan_in): where no Xavier initialisation is stated, weights keep this uniform one.
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def sinusoids(num_frames: Any, dim: int) -> Float[np.ndarray | Array, "frames dim"]:
    """Fixed positions, sines then cosines, counted from 1 (Eq. 1's E_pos)."""
    half = dim // 2
    frequencies = np.exp(np.arange(half) * (-math.log(10_000.0) / (half - 1)))
    xp = np if isinstance(num_frames, int) else jnp  # `jax.export` knows sizes by name only
    angles = xp.arange(1, num_frames + 1)[:, None] * frequencies
    table = xp.concatenate([xp.sin(angles), xp.cos(angles)], axis=1)
    return xp.pad(table, ((0, 0), (0, dim - 2 * half))).astype(np.float32)


def allowed_keys(mask: Mask, causal: bool) -> Bool[Array, "batch queries keys"]:
    """Which frames each frame may attend to: valid ones; with `causal`, none of the future."""
    frames = mask.shape[1]
    allowed = jnp.broadcast_to(mask[:, None, :], (mask.shape[0], frames, frames))
    return jnp.tril(allowed) if causal else allowed


class SelfAttention(nn.Module):
    """Multi-head self-attention; queries, keys and values come from one stacked projection."""

    num_heads: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Activations, allowed: Bool[Array, "batch frames frames"], root: Seed
    ) -> Activations:
        """Attends within each sequence."""
        batch, frames, dim = x.shape
        qkv = nn.Dense(
            3 * dim, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype, name="qkv"
        )(x).reshape(batch, frames, 3, self.num_heads, dim // self.num_heads)
        roots = None if root is None else split(root, batch)
        heads = _over_sequences(
            lambda xs: attend(qkv=xs[0], allowed=xs[1], rate=self.dropout, root=xs[2]),
            (qkv, allowed, roots),
        )
        return nn.Dense(dim, kernel_init=uniform_fan_in, dtype=self.dtype, name="out")(
            heads.reshape(batch, frames, dim)
        )


def _over_sequences(function, xs):
    """vmap; on a CPU each device takes its sequences one by one, so that scores stay in cache."""
    if jax.default_backend() != "cpu":
        return jax.vmap(function)(xs)
    batch = jax.tree.leaves(xs)[0].shape[0]
    devices = jax.sharding.get_abstract_mesh().shape.get("data", 1)
    if devices == 1 or batch % devices:
        return jax.lax.map(function, xs)
    parts = jax.tree.map(lambda a: a.reshape(devices, batch // devices, *a.shape[1:]), xs)
    out = jax.vmap(lambda part: jax.lax.map(function, part))(parts)
    return out.reshape(batch, *out.shape[2:])


class Block(nn.Module):
    """A pre-LN layer; in stack 2 both its sub-layers give `alpha * x + beta * f(LN(x))`."""

    num_heads: int
    ffn_dim: int
    residual: str
    alpha_init: str
    dropout: Mapping[str, float]
    dtype: Any

    def scales(self) -> tuple[Array | float, Array | float]:
        """This layer's alpha and beta (Sec. 3.4).

        Both start at 1, where the layer is a plain one, or with `alpha_init="uniform"` at
        alpha ~ U(0, 1) and beta = 1 - alpha.
        """
        if self.residual == "plain":
            return 1.0, 1.0
        one = self.alpha_init == "one"
        start = nn.initializers.ones if one else nn.initializers.uniform(1.0)
        alpha = self.param("alpha", start, ())
        if self.residual == "tied":
            return alpha, 1.0 - alpha
        return alpha, self.param("beta", lambda _: jnp.ones(()) if one else 1.0 - alpha)

    @nn.compact
    def __call__(
        self, x: Activations, allowed: Bool[Array, "batch frames frames"], root: Seed
    ) -> tuple[Activations, None]:
        """Returns `(x, None)`, as `nn.scan` wants it."""
        roots = [None] * 4 if root is None else split(root, 4)
        alpha, beta = self.scales()

        def mix(x, f, root):
            f = dropout(f, self.dropout["residual"], root)
            return (alpha * x + beta * f).astype(x.dtype)

        def norm(name):
            return nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32, name=name)

        def dense(features, name):
            xavier = nn.initializers.xavier_uniform()
            return nn.Dense(features, kernel_init=xavier, dtype=self.dtype, name=name)

        attention = SelfAttention(
            self.num_heads, self.dropout["attention"], self.dtype, name="attention"
        )
        f = attention(norm("norm_attention")(x).astype(self.dtype), allowed, roots[0])
        x = mix(x, f, roots[1])
        hidden = nn.relu(dense(self.ffn_dim, "ffn_in")(norm("norm_ffn")(x).astype(self.dtype)))
        f = dense(x.shape[-1], "ffn_out")(dropout(hidden, self.dropout["ffn"], roots[2]))
        return mix(x, f, roots[3]), None


class Stack(nn.Module):
    """`num_layers` blocks, scanned; before them a scale, positions, dropout; then LayerNorm."""

    num_layers: int
    num_heads: int
    ffn_dim: int
    residual: str
    alpha_init: str
    positions: bool
    embed_scale: bool
    dropout: Mapping[str, float]
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Activations, allowed: Bool[Array, "batch frames frames"], root: Seed
    ) -> Activations:
        """Runs the stack."""
        roots = [None] * 3 if root is None else _roots(root, self.num_layers)
        if self.embed_scale:
            x = x * math.sqrt(x.shape[-1])
        if self.positions:
            x = x + jnp.asarray(sinusoids(*x.shape[1:]), x.dtype)
        x = dropout(x, self.dropout["embedding"], roots[1])
        blocks = nn.scan(
            Block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, 0),  # pyright: ignore[reportArgumentType]  # a tuple is right
            length=self.num_layers,
        )(
            self.num_heads, self.ffn_dim, self.residual, self.alpha_init, self.dropout, self.dtype,
            name="blocks",
        )  # fmt: skip
        x, _ = blocks(x, allowed, roots[0])
        x = nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32, name="norm")(x).astype(self.dtype)
        return dropout(x, self.dropout["output"], roots[2])


def _roots(
    root: UInt32[Array, ""], num_layers: int
) -> tuple[UInt32[Array, " layers"], UInt32[Array, ""], UInt32[Array, ""]]:
    """The layers' seeds, and those of the dropout before and after them."""
    roots = split(root, num_layers + 2)
    return roots[:num_layers], roots[num_layers], roots[num_layers + 1]


class Identity(nn.Module):
    """No encoder: frames as they are."""

    def __call__(self, x: Activations, mask: Mask, key: PRNGKeyArray | None) -> Activations:
        """Gives `x`."""
        return x


class Encoder(nn.Module):
    """Both stacks (Fig. 2): plain self-attention, then layers with learnable residual scaling."""

    num_layers: int
    num_heads: int
    ffn_dim: int
    residual: str
    alpha_init: str
    causal: bool
    embed_scale: bool
    positions: str
    dropout: Mapping[str, float]
    dtype: Any

    @nn.compact
    def __call__(self, x: Activations, mask: Mask, key: PRNGKeyArray | None) -> Activations:
        """Encodes frames; `key` drives dropout, and `None` turns it off."""
        allowed = allowed_keys(mask, self.causal)
        roots = (None, None) if key is None else split(seed(key), 2)
        fields = (
            "num_layers",
            "num_heads",
            "ffn_dim",
            "embed_scale",
            "alpha_init",
            "dropout",
            "dtype",
        )
        shared = {name: getattr(self, name) for name in fields}
        positions = self.positions == "sinusoidal"
        x = x.astype(self.dtype)
        x = Stack(residual="plain", positions=positions, name="stack1", **shared)(
            x, allowed, roots[0]
        )
        return Stack(residual=self.residual, positions=False, name="stack2", **shared)(
            x, allowed, roots[1]
        )
