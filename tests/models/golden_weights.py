"""Weights for golden tests, made from names alone, so that no file has to hold them.

`torch_weights` gives the PyTorch reference's state dict, `to_ours` turns one into our tree.
"""

import re
import zlib

import numpy as np

VARIANTS = {
    "default": {},
    "causal_last": {"causal": True, "pooling": "last"},
    "tied": {"residual": "tied"},
    "plain": {"residual": "plain"},
    "padded_160": {},
}
HEADS = {"energy": 1, "action_units": 5}
NUM_LAYERS = 5
OURS = {
    "attn.qkv": "attention/qkv", "attn.out": "attention/out", "fc1": "ffn_in", "fc2": "ffn_out",
    "norm_attn": "norm_attention", "norm_ffn": "norm_ffn",
}  # fmt: skip


def torch_shapes(residual: str = "free") -> dict[str, tuple[int, ...]]:
    """Names and shapes of the reference's parameters, at the paper's size."""
    shapes = {"embed.weight": (130, 130)}
    for stack in ("stack1", "stack2"):
        for layer in range(NUM_LAYERS):
            at = f"{stack}.layers.{layer}"
            for norm in ("norm_attn", "norm_ffn"):
                shapes |= {f"{at}.{norm}.{p}": (130,) for p in ("weight", "bias")}
            sizes = {"attn.qkv": (390, 130), "attn.out": (130, 130), "fc1": (520, 130)}
            for name, shape in {**sizes, "fc2": (130, 520)}.items():
                shapes |= {f"{at}.{name}.weight": shape, f"{at}.{name}.bias": shape[:1]}
            if stack == "stack2" and residual != "plain":
                shapes[f"{at}.alpha"] = (1,)
                if residual == "free":
                    shapes[f"{at}.beta"] = (1,)
        shapes |= {f"{stack}.norm.{p}": (130,) for p in ("weight", "bias")}
    for head, number in HEADS.items():
        for name, shape in {"fc1": (130, 130), "out": (number, 130)}.items():
            shapes |= {f"heads.{head}.{name}.weight": shape, f"heads.{head}.{name}.bias": shape[:1]}
    return shapes


def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers that depend on the name alone."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape).astype(np.float32)


def torch_weights(residual: str = "free") -> dict[str, np.ndarray]:
    """A state dict of plausible size: matrices of a tenth, scales about one, alpha in (0, 1)."""
    weights = {}
    for name, shape in torch_shapes(residual).items():
        value = noise(name, shape) * 0.1
        if re.search(r"norm\w*\.weight", name):
            value = value + 1
        weights[name] = np.abs(value) + 0.4 if name.endswith(("alpha", "beta")) else value
    return weights


def to_ours(weights: dict[str, np.ndarray]) -> dict:
    """The reference's parameters as our tree: kernels transposed, layers stacked."""
    tree: dict = {}
    for name, value in sorted(weights.items()):
        path, layer = _path(name)
        value = value.T if name.endswith("weight") and value.ndim == 2 else value
        value = value.reshape(()) if name.endswith(("alpha", "beta")) else value
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        if layer is None:
            node[path[-1]] = value
        else:
            node.setdefault(path[-1], [None] * NUM_LAYERS)[layer] = value
    return _stack(tree)


def _path(name: str) -> tuple[list[str], int | None]:
    leaf = {"weight": "kernel"}.get(name.rsplit(".", 1)[1], name.rsplit(".", 1)[1])
    if "norm" in name and leaf == "kernel":
        leaf = "scale"
    if name.startswith("embed"):
        return ["embed", "projection", leaf], None
    if match := re.match(r"heads\.(\w+)\.(\w+)", name):
        return [f"head_{match[1]}", {"fc1": "hidden", "out": "logits"}[match[2]], leaf], None
    if match := re.match(r"(stack\d)\.layers\.(\d)\.(alpha|beta)$", name):
        return ["encoder", match[1], "blocks", match[3]], int(match[2])
    if match := re.match(r"(stack\d)\.layers\.(\d)\.([\w.]+)\.\w+$", name):
        return ["encoder", match[1], "blocks", *OURS[match[3]].split("/"), leaf], int(match[2])
    return ["encoder", name.split(".")[0], "norm", leaf], None


def _stack(node):
    if isinstance(node, list):
        return np.stack(node)
    return {k: _stack(v) for k, v in node.items()} if isinstance(node, dict) else node


def batch(variant: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Inputs, lengths and labels of a variant."""
    frames = 160 if variant == "padded_160" else 124
    lengths = np.array([frames, 97, 64] if variant == "padded_160" else [frames] * 3, np.int32)
    x = noise(f"inputs {variant}", (3, frames, 130))
    x[np.arange(frames) >= lengths[:, None]] = 0
    return x, lengths, {"energy": np.array([1, 0, 1]), "action_units": np.array([4, 0, 2])}
