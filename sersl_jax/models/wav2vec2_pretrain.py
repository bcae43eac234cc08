"""wav2vec 2.0's pre-training: spans of frames are hidden and their quantised features predicted."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sersl_jax.models.dropout import dropout, seed
from sersl_jax.models.transformer import uniform_fan_in
from sersl_jax.models.wav2vec2 import WaveformEmbedding


class GumbelQuantizer(nn.Module):
    """Product quantisation: one entry of every group's codebook, chosen by a Gumbel softmax."""

    groups: int
    entries: int
    width: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch frames features"],
        temperature: Float[Array, ""] | float,
        key: PRNGKeyArray | None,
    ) -> tuple[
        Float[Array, "batch frames vector"],
        Int[Array, "batch frames groups"],
        Float[Array, "batch frames groups entries"],
    ]:
        """Vectors, the codes chosen, and the probabilities without noise or temperature.

        The forward pass takes one entry, the backward pass the softmax (straight-through).
        `key=None` takes the likeliest entry.
        """
        shape = (*x.shape[:2], self.groups, self.entries)
        normal = nn.initializers.normal(1.0)
        logits = nn.Dense(self.groups * self.entries, kernel_init=normal, name="logits")(x)
        logits = logits.reshape(shape)
        noisy = logits if key is None else logits + jax.random.gumbel(key, shape)
        codes = noisy.argmax(axis=-1)
        chosen = jax.nn.one_hot(codes, self.entries)
        if key is not None:
            soft = jax.nn.softmax(noisy / temperature)
            chosen = chosen + (soft - jax.lax.stop_gradient(soft))
        entries = (self.groups, self.entries, self.width)
        codebook = self.param("codebook", nn.initializers.uniform(1.0), entries)
        vectors = jnp.einsum("bfge,gew->bfgw", chosen, codebook).reshape(*x.shape[:2], -1)
        return vectors, codes, jax.nn.softmax(logits)


class ContrastiveHead(nn.Module):
    """What only pre-training needs: mask embedding, quantiser and the two projections."""

    embed_dim: int
    groups: int
    entries: int
    code_dim: int
    dim: int
    dropout: float

    def setup(self):
        """Names the parameters."""
        self.mask_embedding = self.param(
            "mask_embedding", nn.initializers.uniform(1.0), (self.embed_dim,)
        )
        self.quantizer = GumbelQuantizer(self.groups, self.entries, self.code_dim // self.groups)
        self.project_targets = nn.Dense(self.dim, kernel_init=uniform_fan_in)
        self.project_context = nn.Dense(self.dim, kernel_init=uniform_fan_in)

    def hide(
        self, x: Float[Array, "batch frames dim"], masked: Bool[Array, "batch frames"]
    ) -> Float[Array, "batch frames dim"]:
        """Frames, the masked ones replaced by the mask embedding."""
        return jnp.where(masked[..., None], self.mask_embedding.astype(x.dtype), x)

    def __call__(
        self,
        context: Float[Array, "batch frames dim"],
        normalised: Float[Array, "batch frames width"],
        temperature: Float[Array, ""] | float,
        key: PRNGKeyArray | None,
    ) -> tuple[Float[Array, "..."], Float[Array, "..."], Int[Array, "..."], Float[Array, "..."]]:
        """Predictions, targets, codes and code probabilities of every frame."""
        keys = (None, None) if key is None else jax.random.split(key)
        root = None if keys[0] is None else seed(keys[0])
        x = dropout(normalised, self.dropout, root)
        vectors, codes, probabilities = self.quantizer(x, temperature, keys[1])
        predictions = self.project_context(context.astype(jnp.float32))
        return predictions, self.project_targets(vectors), codes, probabilities


class Outputs(NamedTuple):
    """What pre-training compares, for every frame; float32."""

    features: Float[Array, "batch frames width"]  # before LayerNorm
    predictions: Float[Array, "batch frames dim"]
    targets: Float[Array, "batch frames dim"]
    codes: Int[Array, "batch frames groups"]
    probabilities: Float[Array, "batch frames groups entries"]
    mask: Bool[Array, "batch frames"]


class PretrainNet(nn.Module):
    """The pre-training network; `embed` and `encoder` transfer to `SerNet` by name."""

    embed: WaveformEmbedding
    encoder: nn.Module
    head_contrastive: ContrastiveHead

    def __call__(
        self,
        waveform: Float[Array, "batch samples"],
        num_samples: Int[Array, " batch"],
        masked: Bool[Array, "batch frames"],
        temperature: Float[Array, ""] | float,
        key: PRNGKeyArray | None,
    ) -> Outputs:
        """Predicts the `masked` frames from the others; `key=None` turns all sampling off."""
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        features, mask = self.embed.features(waveform, num_samples)
        normalised = self.embed.norm(features)
        x = self.head_contrastive.hide(self.embed.project(normalised, keys[0]), masked)
        context = self.encoder(x, mask, keys[1])
        return Outputs(
            features, *self.head_contrastive(context, normalised, temperature, keys[2]), mask
        )
