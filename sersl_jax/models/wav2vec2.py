"""wav2vec 2.0 (Baevski et al., 2020; the baseline of Sec. 4.3) around the paper's own encoder.

Raw 16 kHz waveforms pass a convolutional feature encoder (25 ms of receptive field, 20 ms of step),
a projection and the context network (`wav2vec2_pretrain.py` trains them). Values are those of
fairseq's base model.
"""

from typing import TypeVar

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
    """`x`, whose gradient is multiplied by `scale`; 0 stops it, and none is computed below."""
    fixed = jax.lax.stop_gradient(x)
    return fixed if scale == 0.0 else fixed + scale * (x - fixed)


class FirstLayer(nn.Module):
    """The first convolution and its normalisation (each channel over time) in one step.

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
