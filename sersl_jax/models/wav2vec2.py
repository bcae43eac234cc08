"""wav2vec 2.0 (Baevski et al., 2020; the baseline of Sec. 4.3) around the paper's own encoder.

Raw 16 kHz waveforms pass a convolutional feature encoder (25 ms of receptive field, 20 ms of step),
a projection and the context network. Pre-training hides spans of projected frames and asks the
context network for their quantised features. Values are those of fairseq's base model.
"""

from typing import NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sersl_jax.models.dropout import dropout, seed
from sersl_jax.models.ser import valid
from sersl_jax.models.transformer import uniform_fan_in

KERNELS = (10, 3, 3, 3, 3, 2, 2)
STRIDES = (5, 2, 2, 2, 2, 2, 2)
RECEPTIVE_FIELD = 400  # samples

Count = TypeVar("Count", int, Array)
kaiming_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def num_frames(num_samples: Count) -> Count:
    """Frames that the feature encoder gives: 32,000 samples -> 99; fewer than 400 -> 0."""
    for kernel, stride in zip(KERNELS, STRIDES, strict=True):
        num_samples = (num_samples - kernel) // stride + 1
    return num_samples * (num_samples > 0)


def scale_gradient(x: Float[Array, "*shape"], scale: float) -> Float[Array, "*shape"]:
    """`x`, whose gradient is multiplied by `scale`; 0 cuts it, and nothing before is computed."""
    fixed = jax.lax.stop_gradient(x)
    return fixed if scale == 0.0 else fixed + scale * (x - fixed)


class FirstLayer(nn.Module):
    """The first convolution and its GroupNorm(512) of 512 channels, an instance norm, in one.

    The sound has one channel: a frame is a linear map of 10 samples, so its mean and variance over
    time follow from those samples' mean and covariance, and the norm is a scaling of the kernel
    (4 times faster to differentiate than taking them from 6,399 x 512 outputs). They cover the
    valid frames only, so that a padded clip gives what it gives alone.
    """

    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, waveform: Float[Array, "batch samples"], num_samples: Int[Array, " batch"]
    ) -> Float[Array, "batch frames {self.width}"]:
        """Normalised frames before the activation."""
        taps, stride = KERNELS[0], STRIDES[0]
        kernel = self.param("kernel", kaiming_normal, (taps, self.width))
        scale = self.param("scale", nn.initializers.ones, (self.width,))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        frames = (waveform.shape[1] - taps) // stride + 1
        samples = jnp.arange(frames)[:, None] * stride + jnp.arange(taps)
        x = waveform[:, samples].astype(jnp.float32)
        valid_frames = jnp.maximum((num_samples - taps) // stride + 1, 1)
        weights = valid(valid_frames, frames) / valid_frames[:, None]
        x = x - jnp.einsum("bft,bf->bt", x, weights)[:, None]
        covariance = jnp.einsum("bft,bfu,bf->btu", x, x, weights)
        variance = jnp.einsum("tw,btu,uw->bw", kernel, covariance, kernel)
        kernels = kernel * (scale * jax.lax.rsqrt(variance + 1e-5))[:, None]
        return jnp.einsum("bft,btw->bfw", x.astype(self.dtype), kernels.astype(self.dtype)) + bias


class FeatureEncoder(nn.Module):
    """Seven convolutions without bias or padding, each followed by the exact GELU."""

    widths: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, waveform: Float[Array, "batch samples"], num_samples: Int[Array, " batch"]
    ) -> Float[Array, "batch frames width"]:
        """Features of the waveform; frames past a row's `num_frames` are meaningless."""
        x = FirstLayer(self.widths[0], self.dtype, name="conv0")(waveform, num_samples)
        x = nn.gelu(x.astype(self.dtype), approximate=False)
        layers = zip(self.widths, KERNELS, STRIDES, strict=True)
        for index, (width, kernel, stride) in list(enumerate(layers))[1:]:
            x = nn.Conv(
                width, kernel, stride, "VALID", use_bias=False, kernel_init=kaiming_normal,
                dtype=self.dtype, name=f"conv{index}",
            )(x)  # fmt: skip
            x = nn.gelu(x, approximate=False)
        return x


class WaveformEmbedding(nn.Module):
    """`SerNet.embed` for waveforms: feature encoder, LayerNorm, projection, dropout.

    Attributes:
      dim: width of the embedded frames.
      widths: channels of the seven convolutions (512 each in the base model).
      gradient_scale: of the gradient into the convolutions: 0.1 in pre-training; 0 freezes them.
    """

    dim: int
    widths: tuple[int, ...]
    gradient_scale: float
    dropout: float
    dtype: jnp.dtype

    def setup(self):
        """Names the parameters."""
        self.extractor = FeatureEncoder(self.widths, self.dtype)
        self.norm = nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32)
        self.projection = nn.Dense(self.dim, kernel_init=uniform_fan_in, dtype=self.dtype)

    def features(
        self, waveform: Float[Array, "batch samples"], num_samples: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch frames width"], Bool[Array, "batch frames"]]:
        """Convolutional features before LayerNorm, in float32, and the mask of valid frames.

        Raises:
          ValueError: the batch is shorter than the receptive field.
        """
        if waveform.shape[1] < RECEPTIVE_FIELD:
            raise ValueError(
                f"waveforms of {waveform.shape[1]} samples are shorter than the {RECEPTIVE_FIELD} "
                "samples (25 ms) that wav2vec 2.0 needs for one frame; drop them, or pad the batch"
            )
        x = scale_gradient(self.extractor(waveform, num_samples), self.gradient_scale)
        return x.astype(jnp.float32), valid(num_frames(num_samples), x.shape[1])

    def project(
        self, normalised: Float[Array, "batch frames width"], key: PRNGKeyArray | None
    ) -> Float[Array, "batch frames dim"]:
        """Normalised features to embedded frames."""
        root = None if key is None else seed(key)
        return dropout(self.projection(normalised.astype(self.dtype)), self.dropout, root)

    def __call__(
        self,
        waveform: Float[Array, "batch samples"],
        num_samples: Int[Array, " batch"],
        key: PRNGKeyArray | None,
    ) -> tuple[Float[Array, "batch frames dim"], Bool[Array, "batch frames"]]:
        """Waveforms in [-1, 1] at 16 kHz to embedded frames and the mask of valid ones."""
        features, mask = self.features(waveform, num_samples)
        return self.project(self.norm(features), key), mask


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
    """The pre-training network; `embed` and `encoder` are `SerNet`'s, and transfer to it by name."""

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
