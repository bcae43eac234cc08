"""A network from `config.model`."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import jax.numpy as jnp

from sersl_jax.config import ModelConfig
from sersl_jax.models.conv import ConvEmbedding
from sersl_jax.models.ser import LldEmbedding, SerNet
from sersl_jax.models.transformer import Encoder, Identity
from sersl_jax.models.wav2vec2 import WaveformEmbedding
from sersl_jax.models.wav2vec2_base import BaseContext
from sersl_jax.models.wav2vec2_pretrain import ContrastiveHead, PretrainNet
from sersl_jax.tasks import AnyTask


def create_encoder(config: ModelConfig, dtype: str) -> Encoder | BaseContext | Identity:
    """Both stacks, wav2vec 2.0's own layers, or none."""
    if config.context == "none":
        return Identity()
    if config.context == "base":
        return BaseContext(
            config.num_layers, config.num_heads, config.ffn_dim, asdict(config.dropout),
            jnp.dtype(dtype),
        )  # fmt: skip
    return Encoder(
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        ffn_dim=config.ffn_dim,
        residual=config.residual,
        alpha_init=config.alpha_init,
        causal=config.causal,
        embed_scale=config.embed_scale,
        positions=config.positions,
        dropout=asdict(config.dropout),
        dtype=jnp.dtype(dtype),
    )


def create_embedding(
    config: ModelConfig, dtype: str
) -> LldEmbedding | ConvEmbedding | WaveformEmbedding:
    """What turns inputs into the encoder's frames."""
    if config.embed == "conv":
        chosen = config.conv
        return ConvEmbedding(
            config.dim, chosen.kernels, chosen.stride, chosen.center, chosen.descriptors,
            chosen.loudest, config.dropout.conv, jnp.dtype(dtype),
        )  # fmt: skip
    if config.embed == "llds":
        return LldEmbedding(config.dim, config.input_projection, jnp.dtype(dtype))
    return _create_waveform_embedding(config, dtype)


def _create_waveform_embedding(config: ModelConfig, dtype: str) -> WaveformEmbedding:
    return WaveformEmbedding(
        config.dim,
        config.wav2vec2.conv_widths,
        config.wav2vec2.gradient_scale,
        config.dropout.embedding,
        jnp.dtype(dtype),
    )


def create_network(
    config: ModelConfig, tasks: Sequence[AnyTask], dtype: str, frozen: Sequence[str] = ()
) -> SerNet:
    """The SER network with a head for every task.

    Waveform convolutions among the `frozen` parameter paths get no backward pass.
    """
    if "embed/extractor" in frozen:
        config = replace(config, wav2vec2=replace(config.wav2vec2, gradient_scale=0.0))
    return SerNet(
        create_embedding(config, dtype),
        create_encoder(config, dtype),
        {task.name: task.num_outputs for task in tasks},
        config.pooling,
        config.dropout.head,
    )


def create_pretrain_network(config: ModelConfig, dtype: str) -> PretrainNet:
    """wav2vec 2.0's network around the same encoder, which is never causal here."""
    chosen = config.wav2vec2
    return PretrainNet(
        _create_waveform_embedding(config, dtype),
        create_encoder(replace(config, causal=False), dtype),
        ContrastiveHead(
            config.dim, chosen.groups, chosen.entries, chosen.code_dim, chosen.contrast_dim,
            config.dropout.embedding,
        ),
    )  # fmt: skip
