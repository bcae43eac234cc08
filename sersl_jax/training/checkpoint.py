"""Saving and restoring: exact resume of a training, and the model that others start from."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from sersl_jax import checksums, files

if TYPE_CHECKING:
    from sersl_jax.training.trainer import Training

VERSION = 3
_REMEDY = (
    "delete the folder of this training and the run's results.json, and the same command trains it "
    "again"
)


@dataclass(frozen=True)
class Checkpoint:
    """A trained model: parameters of the best epoch and the normaliser, each with a leading axis
    of members, and what is needed to use them (`info`: network, labels, features, splits)."""

    params: Any
    mean: np.ndarray
    std: np.ndarray
    info: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training: the latest one, which holds the best parameters too.

    Orbax writes beside the old checkpoint and renames, so a half-written one is never read.
    """

    def __init__(self, directory: Path):
        """Opens or creates `directory`."""
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(1),
            step_name_format=ocp.path.step.standard_name_format(step_prefix=None),
            enable_async_checkpointing=False,
        )
        self.directory = Path(directory).absolute()
        remove_older(self.directory)
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def save(
        self,
        number: int,
        state: Any,
        best: Any,
        training: "Training",
        position: tuple[int, int],
        finished: bool,
    ) -> None:
        """Saves the latest state and the best model; `number` grows from save to save.

        `position` is the number of finished epochs, and of finished steps in the next one.
        """
        if jax.process_count() == 1:  # of arrays on several devices, orbax compiles the slices
            state, best = jax.device_get((state, best))
        model = _model(best, training)
        chosen = {"value": best.value, "epoch": best.epoch}
        info = {**training.info, "names": list(training.names), "finished": finished}
        info |= {"position": list(position), "version": VERSION}
        items = ocp.args.Composite(
            state=ocp.args.StandardSave({"state": state, "chosen": chosen}),
            model=ocp.args.StandardSave(model),
            info=ocp.args.JsonSave(info),
        )
        try:
            if not self._manager.save(number, args=items):
                raise RuntimeError(f"{self.directory}: checkpoint {number} was not written")
            if jax.process_index() == 0:
                _write_checksums(self.directory / str(number))
        except (OSError, ValueError) as error:
            if "No space left" not in str(error):
                raise
            raise OSError(
                f"{self.directory}: no space left for a checkpoint; make room and give the same "
                f"command again (last good checkpoint: {self.latest})"
            ) from error

    def restore(
        self, state: Any, best: Any, training: "Training"
    ) -> tuple[Any, Any, list[int]] | None:
        """The latest state, best and position, placed like `state` and `best`; None where none.

        Raises ValueError where they are of another training (the data or splits have changed) or
        of another version of sersl_jax.
        """
        latest = self._manager.latest_step()
        if latest is None:
            return None
        checksums.check(self.directory / str(latest), _REMEDY)
        args = ocp.args.Composite(info=ocp.args.JsonRestore())
        info = self._manager.restore(latest, args=args)["info"]
        other_version = (
            f"{self.latest} does not fit this program: another version of sersl_jax began this "
            "training; go on with that version, or take another --workdir"
        )
        if info.get("version") != VERSION:
            raise ValueError(other_version)
        self._check_same(info, {**training.info, "names": list(training.names)})
        like = _model(best, training)
        chosen = {"value": best.value, "epoch": best.epoch}
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore({"state": state, "chosen": chosen}),
            model=ocp.args.StandardRestore(like),
        )
        try:
            saved = self._manager.restore(latest, args=args)
        except ValueError as error:
            raise ValueError(other_version) from error
        best = best.replace(params=saved["model"]["params"], **saved["state"]["chosen"])
        return saved["state"]["state"], best, info["position"]

    def _check_same(self, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
        for what in ("dataset", "names", "speakers"):
            one, other = (json.dumps(info.get(what), sort_keys=True) for info in (there, here))
            if one != other:
                raise ValueError(
                    f"{self.directory} was started on another {what}: the dataset or the splits "
                    "have changed since; take another --workdir"
                )

    @property
    def latest(self) -> str:
        """Where the last good checkpoint lies, for messages."""
        step = self._manager.latest_step()
        return f"{self.directory / str(step)}" if step is not None else "none yet"

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()


def _model(best: Any, training: "Training") -> dict[str, Any]:
    normalisers = training.normalisers
    return {"params": best.params, "mean": normalisers.mean, "std": normalisers.std}


def read_model(path: str | Path) -> Checkpoint:
    """The model of one training directory (`runs/ssl1/finetune/0-1`), on the host.

    Raises ValueError naming the directory where there is no checkpoint or one of another version.
    """
    path = Path(path).absolute()
    latest = _latest(path)
    if latest is None:
        raise ValueError(f"{path} holds no checkpoint; give a run's directory, such as runs/ssl1")
    info = _read_info(latest)
    checksums.check(latest, _REMEDY, "model/")
    if info.get("version") != VERSION:
        raise ValueError(f"{latest} is of checkpoint version {info.get('version')}, not {VERSION}")
    handler = ocp.PyTreeCheckpointHandler()  # a checkpointer warns of metadata that we don't write
    folder: Any = latest / "model"  # orbax's types know no paths but those of etils
    stored = handler.metadata(folder).tree
    on_host = jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), stored)
    model = handler.restore(folder, args=ocp.args.PyTreeRestore(restore_args=on_host))
    return Checkpoint(model["params"], model["mean"], model["std"], info)


def remove_older(path: Path) -> None:
    """Removes all but the latest checkpoint: a kill came while orbax deleted them."""
    for older in _steps(path)[:-1] if jax.process_index() == 0 else ():
        shutil.rmtree(older)


def is_finished(path: Path) -> bool:
    """Whether the training in this directory has come to its end."""
    latest = _latest(path)
    if latest is None:
        return False
    info = _read_info(latest)
    return info.get("version") == VERSION and bool(info.get("finished"))


def _write_checksums(step: Path) -> None:
    """Of all files of a checkpoint that orbax has committed."""
    found = [path for path in step.rglob("*") if path.is_file()]
    checksums.write(step, (path.relative_to(step).as_posix() for path in found))


def _read_info(step: Path) -> dict[str, Any]:
    checksums.check(step, _REMEDY, "info/")
    return files.read_json(step / "info" / "metadata")


def is_saved(path: Path) -> bool:
    """Whether a training directory holds a checkpoint, finished or not."""
    return _latest(path) is not None


def _latest(path: Path) -> Path | None:
    return next((step for step in reversed(_steps(path)) if (step / "model").is_dir()), None)


def _steps(path: Path) -> list[Path]:
    return sorted((p for p in path.glob("*") if p.name.isdigit()), key=lambda p: int(p.name))


def transfer(fresh: Any, loaded: Any, path: str) -> tuple[Any, list[str]]:
    """Puts loaded parameters in the place of fresh ones: all but the heads must fit.

    Args:
      fresh: parameters of the network to be trained.
      loaded: parameters of one member of another training.
      path: where they come from, for the message.

    Returns:
      The parameters and a table, one line a group: how many values were loaded or are fresh.

    Raises:
      ValueError: a parameter outside the heads is missing, left over, or of another shape.
    """
    ours, theirs = _flat(fresh), _flat(loaded)
    wanted = {name for name in ours if not name.startswith("head_")}
    groups = {name.split("/")[0] for name in wanted}
    offered = {name for name in theirs if name.split("/")[0] in groups}
    wrong = [f"{name} (missing there)" for name in sorted(wanted - offered)]
    wrong += [f"{name} (unknown here)" for name in sorted(offered - wanted)]
    wrong += [
        f"{name} ({np.shape(theirs[name])} there, {np.shape(ours[name])} here)"
        for name in sorted(wanted & offered)
        if np.shape(theirs[name]) != np.shape(ours[name])
    ]
    if wrong:
        raise ValueError(f"checkpoint {path} does not fit this network: {', '.join(wrong)}")
    params = jax.tree_util.tree_map_with_path(
        lambda p, leaf: theirs[_name(p)] if _name(p) in wanted else leaf, fresh
    )
    return params, _table(ours, theirs, wanted)


def _table(ours: dict, theirs: dict, wanted: set[str]) -> list[str]:
    lines = []
    for group in sorted({"/".join(name.split("/")[:2]) for name in ours}):
        names = [name for name in ours if f"{name}/".startswith(f"{group}/")]
        count = sum(int(np.prod(np.shape(ours[name]))) for name in names)
        lines.append(f"{'loaded' if names[0] in wanted else 'fresh':<8}{count:>10,}  {group}")
    left = sorted({name.split("/")[0] for name in theirs} - {n.split("/")[0] for n in wanted})
    return lines + [f"{'left':<8}{'':>10}  {group}" for group in left]


def _flat(params: Any) -> dict[str, Any]:
    return {_name(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(params)}


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
