"""A trained run's directory, read for inference."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from sersl_jax import checksums, files
from sersl_jax.inference.ensemble import Ensemble, create_ensemble, main_tasks
from sersl_jax.training import checkpoint


def read_run(path: str | Path) -> Ensemble:
    """All finished members of a run's directory (`runs/ssl1`).

    Raises FileNotFoundError or ValueError, naming the directory and what to do.
    """
    groups = _groups(Path(path))
    for group in groups:
        checksums.check(group, "delete its predictions.csv and train again", "temp")
    loaded = [checkpoint.read_model(group) for group in groups]
    temperatures = [
        np.array(files.read_json(group / "temperatures.json"), np.float32) for group in groups
    ]
    trees = [
        {"params": _used(c), "mean": c.mean, "std": c.std, "temperature": t}
        for c, t in zip(loaded, temperatures, strict=True)
    ]
    weights = jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)
    names = [name for c in loaded for name in c.info["names"]]
    speakers = [sides for c in loaded for sides in c.info.get("speakers", [])]
    clips = sorted({clip for c in loaded for clip in c.info.get("clips", ())})
    info = {**loaded[0].info, "names": names, "speakers": speakers, "clips": clips}
    return create_ensemble(weights, names, info)


def _used(found: checkpoint.Checkpoint) -> dict[str, Any]:
    """The parameters without the heads of helper tasks, which predict nothing."""
    heads = {f"head_{task.name}" for task in main_tasks(found.info)}
    return {k: v for k, v in found.params.items() if k in heads or not k.startswith("head_")}


def _groups(path: Path) -> list[Path]:
    """Directories of trained splits, in their order."""
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is no folder; give a run's directory, such as runs/ssl1")
    if (path / "temperatures.json").is_file():
        return [path]
    found = [file.parent for file in path.glob("finetune/*-*/temperatures.json")]
    if found:
        return sorted(found, key=lambda group: int(group.name.split("-")[0]))
    unfinished = f"{path} is not fine-tuned to its end yet: run its training again"
    if (path / "finetune").is_dir():
        raise ValueError(unfinished)
    inner = (folder.parent for folder in path.glob("*/finetune"))
    rows = sorted(str(row) for row in inner if row.name != "events")
    if rows:
        raise ValueError(f"{path} holds several runs: give one of {', '.join(rows)}")
    if (path / "pretrain").is_dir():
        raise ValueError(unfinished)
    raise ValueError(f"{path} holds no run; give a run's directory, such as runs/ssl1")
