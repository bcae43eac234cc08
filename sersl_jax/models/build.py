"""A network from `config.model`."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from sersl_jax.models.ser import LldEmbedding, SerNet
from sersl_jax.models.transformer import Encoder
from sersl_jax.models.wav2vec2 import WaveformEmbedding
from sersl_jax.models.wav2vec2_base import BaseContext
from sersl_jax.models.wav2vec2_pretrain import ContrastiveHead, PretrainNet
from sersl_jax.tasks import Task

ModelConfig = ConfigDict | Mapping[str, Any]
CHOICES = {
    "embed": ("llds", "waveform"),
    "context": ("paper", "base"),
    "positions": ("sinusoidal", "none"),
    "residual": ("free", "tied", "plain"),
    "pooling": ("mean", "last"),
}


def check(config: ModelConfig) -> None:
    """Raises ValueError, naming the field, for a value that the network doesn't know."""
    for name, allowed in CHOICES.items():
        if config[name] not in allowed:
            raise ValueError(
                f"config.model.{name}={config[name]!r} is none of {', '.join(allowed)}"
            )
    if config["dim"] % config["num_heads"]:
        raise ValueError(
            f"config.model.dim={config['dim']} is no multiple of num_heads={config['num_heads']}"
        )


def create_encoder(config: ModelConfig, dtype: str) -> Encoder | BaseContext:
    """Both stacks, or wav2vec 2.0's own layers."""
    sizes = {name: config[name] for name in ("num_layers", "num_heads", "ffn_dim")}
    sizes |= {"dropout": dict(config["dropout"]), "dtype": jnp.dtype(dtype)}
    if config["context"] == "base":
        return BaseContext(**sizes)
    fields = ("residual", "causal", "embed_scale", "positions")
    return Encoder(**sizes, **{name: config[name] for name in fields})


def create_embedding(config: ModelConfig, dtype: str) -> LldEmbedding | WaveformEmbedding:
    """What turns inputs into the encoder's frames."""
    if config["embed"] == "llds":
        return LldEmbedding(config["dim"], config["input_projection"], jnp.dtype(dtype))
    return WaveformEmbedding(
        config["dim"],
        tuple(config["wav2vec2"]["conv_widths"]),
        config["wav2vec2"]["gradient_scale"],
        config["dropout"]["embedding"],
        jnp.dtype(dtype),
    )


def create_network(config: ModelConfig, tasks: Sequence[Task], dtype: str) -> SerNet:
    """The SER network with a head for every task."""
    check(config)
    return SerNet(
        create_embedding(config, dtype),
        create_encoder(config, dtype),
        {task.name: task.num_outputs for task in tasks},
        config["pooling"],
        config["dropout"]["head"],
    )


def create_pretrain_network(config: ModelConfig, dtype: str) -> PretrainNet:
    """wav2vec 2.0's network around the same encoder, which is never causal here."""
    check(config)
    chosen = config["wav2vec2"]
    fields = ("groups", "entries", "code_dim", "contrast_dim")
    return PretrainNet(
        create_embedding(config, dtype),
        create_encoder({**config, "causal": False}, dtype),
        ContrastiveHead(
            config["dim"], *(chosen[name] for name in fields), config["dropout"]["embedding"]
        ),
    )
