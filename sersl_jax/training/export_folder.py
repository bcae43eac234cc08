"""The folder of an export in safetensors, read back; the package comes with one."""

from pathlib import Path
from typing import Any

import numpy as np

from sersl_jax import checksums, files

VERSION = 1
MODEL = "model.safetensors"
# Trained on CREMA-D with configs/best_crema_d.py; its README.md is the model card.
DEFAULT = Path(__file__).parents[1] / "inference" / "default"


def is_export(folder: Path) -> bool:
    """Whether `sersl_jax.export` wrote weights into this folder."""
    return (folder / MODEL).is_file()


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights as `Ensemble` has them, each with a leading axis of members, and config.json.

    Raises ValueError, naming the folder, where it is no export, of another version or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / "config.json"
    config = files.read_json(path) if path.is_file() else {}
    if not isinstance(config, dict) or config.get("model_type") != "sersl_jax":
        raise ValueError(f"{folder} holds no config.json of sersl_jax: export the run again")
    if config.get("version") != VERSION:
        raise ValueError(f"{folder} is of export version {config.get('version')}, not {VERSION}")
    checksums.check(folder, "export the run again, or fetch the folder again")
    weights: dict[str, Any] = {}
    try:
        arrays = load_file(folder / MODEL)
    except SafetensorError as error:
        raise ValueError(f"{folder / MODEL} is damaged, {error}: export the run again") from None
    for name, array in arrays.items():
        *parents, leaf = name.split(".")
        node = weights
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = array.astype(np.float32)
    return weights, config
