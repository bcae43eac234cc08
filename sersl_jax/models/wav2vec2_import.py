"""Published wav2vec 2.0 weights (Hugging Face, base architecture) as parameters of this package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sersl_jax.models.wav2vec2 import KERNELS

Weights = dict[str, np.ndarray]
Tree = dict[str, Any]

# Tasks' own layers, and counters: left behind.
_IGNORED = ("lm_head.", "classifier.", "projector.", "layer_weights", "dropout_features.")
_PRETRAINING = ("quantizer.", "project_hid.", "project_q.", "masked_spec_embed")


def import_huggingface(source: str | Path | Mapping[str, Any]) -> Tree:
    """Parameters `embed`, `encoder` and, of a pre-training model, `head_contrastive`.

    They fit a network with `config.model.context=base`.

    Args:
      source: a `.safetensors` file, or a state dict (arrays, or tensors on the CPU) of
        `Wav2Vec2Model`, `Wav2Vec2ForPreTraining` or a fine-tuned model of it.

    Raises:
      ValueError: the weights are no wav2vec 2.0 of the base architecture (names what is missing or
        left over), or the file is damaged.
    """
    name, weights = _read(source)
    try:
        tree = {"embed": _embed(weights), "encoder": _encoder(weights)}
        if any(key.startswith("quantizer.") for key in weights):
            tree["head_contrastive"] = _head(weights)
    except KeyError as error:
        raise ValueError(
            f"{name} holds no {error.args[0]!r}: only wav2vec 2.0 of the base architecture "
            "(post-LN, one group norm) can be imported"
        ) from None
    left = [key for key in weights if not key.startswith(_IGNORED + _PRETRAINING)]
    if left:
        raise ValueError(
            f"{name} is no wav2vec 2.0 of the base architecture; left over: {', '.join(left[:5])}"
        )
    return tree


def _read(source: str | Path | Mapping[str, Any]) -> tuple[str, Weights]:
    """A name for messages, and the weights under the names of `Wav2Vec2ForPreTraining`."""
    if isinstance(source, Mapping):
        name, weights = "the state dict", source
    else:
        if Path(source).suffix != ".safetensors":
            raise ValueError(f"{source} is no .safetensors file; give that, or a state dict")
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load_file
        except ImportError:
            raise ValueError(f"reading {source} needs `pip install safetensors`") from None
        try:
            name, weights = str(source), load_file(source)
        except SafetensorError as error:
            raise ValueError(f"{source} is damaged, {error}: fetch it again") from None
    return name, {key.removeprefix("wav2vec2."): np.asarray(w) for key, w in weights.items()}


def _linear(weights: Weights, name: str) -> Tree:
    return {"kernel": weights.pop(f"{name}.weight").T, "bias": weights.pop(f"{name}.bias")}


def _norm(weights: Weights, name: str) -> Tree:
    return {"scale": weights.pop(f"{name}.weight"), "bias": weights.pop(f"{name}.bias")}


def _embed(weights: Weights) -> Tree:
    layers = "feature_extractor.conv_layers"
    extractor: Tree = {
        f"conv{i}": {"kernel": weights.pop(f"{layers}.{i}.conv.weight").transpose(2, 1, 0)}
        for i in range(len(KERNELS))
    }
    first = extractor["conv0"]["kernel"][:, 0]
    extractor["conv0"] = {"kernel": first, **_norm(weights, f"{layers}.0.layer_norm")}
    return {
        "extractor": extractor,
        "norm": _norm(weights, "feature_projection.layer_norm"),
        "projection": _linear(weights, "feature_projection.projection"),
    }


def _positions(weights: Weights) -> Tree:
    """The positional convolution, its weight norm (over all but the kernel's axis) folded in."""
    name = "encoder.pos_conv_embed.conv"
    if f"{name}.weight_g" in weights:
        scale, direction = (weights.pop(f"{name}.weight_{part}") for part in "gv")
    else:
        parts = (f"{name}.parametrizations.weight.original{i}" for i in (0, 1))
        scale, direction = (weights.pop(part) for part in parts)
    kernel = scale * direction / np.sqrt((direction**2).sum(axis=(0, 1), keepdims=True))
    return {"kernel": kernel.transpose(2, 1, 0), "bias": weights.pop(f"{name}.bias")}


def _block(weights: Weights, name: str) -> Tree:
    projections = [_linear(weights, f"{name}.attention.{part}_proj") for part in "qkv"]
    return {
        "attention": {
            "qkv": {n: np.concatenate([p[n] for p in projections], -1) for n in projections[0]},
            "out": _linear(weights, f"{name}.attention.out_proj"),
        },
        "norm_attention": _norm(weights, f"{name}.layer_norm"),
        "ffn_in": _linear(weights, f"{name}.feed_forward.intermediate_dense"),
        "ffn_out": _linear(weights, f"{name}.feed_forward.output_dense"),
        "norm_ffn": _norm(weights, f"{name}.final_layer_norm"),
    }


def _encoder(weights: Weights) -> Tree:
    layers = {key.split(".")[2] for key in weights if key.startswith("encoder.layers.")}
    if not layers:
        raise KeyError("encoder.layers.0")
    blocks = [_block(weights, f"encoder.layers.{i}") for i in range(len(layers))]
    return {
        "positions": _positions(weights),
        "norm": _norm(weights, "encoder.layer_norm"),
        "blocks": jax.tree.map(lambda *layers: np.stack(layers), *blocks),
    }


def _head(weights: Weights) -> Tree:
    targets = _linear(weights, "project_q")
    (codebook,) = weights.pop("quantizer.codevectors")
    groups = targets["kernel"].shape[0] // codebook.shape[-1]
    return {
        "mask_embedding": weights.pop("masked_spec_embed"),
        "project_targets": targets,
        "project_context": _linear(weights, "project_hid"),
        "quantizer": {
            "codebook": codebook.reshape(groups, -1, codebook.shape[-1]),
            "logits": _linear(weights, "quantizer.weight_proj"),
        },
    }
