"""The commands that write, at their smallest; and what of their output must not differ."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sersl_jax.corpora import synthetic

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Command:
    """`python -m sersl_jax.MODULE ARGUMENTS`, which writes into {out}."""

    module: str
    arguments: str
    before: str = ""  # a prepared dataset or run below {base} that it begins with a copy of


_PREPARE = "--data_dir={out} --dataset="
COMMANDS = {
    "prepare": Command("prepare", _PREPARE + "speech/folder --source={base}/speech --workers=1"),
    "prepare_2": Command("prepare", _PREPARE + "pretext/folder --source={base}/few --workers=2"),
    "overwrite": Command(
        "prepare",
        _PREPARE + "pretext/folder --source={base}/few --workers=1 --window=1.5 --overwrite",
        "made",
    ),
    "relabel": Command("prepare", _PREPARE + "pretext/folder --relabel --match=all", "made"),
    "main": Command("main", f"--config={HERE}/tiny.py:{{base}}/data --workdir={{out}}"),
    "export": Command("export", "--checkpoint={base}/run --out={out}"),
    "evaluate": Command("evaluate", "--dataset=speech/folder --data_dir={base}/data --out={out}"),
    "predict": Command(
        "predict", "--checkpoint={base}/run --embeddings={out}/x.npz --format=csv {base}/few/media"
    ),
}
GROUND = [  # what they need, in order; {base}/run is left by the straight run of `main`
    "--dataset=speech/folder --source={base}/speech --data_dir={base}/data --workers=1",
    "--dataset=pretext/folder --source={base}/talking --data_dir={base}/data --workers=1",
    "--dataset=pretext/folder --source={base}/few --data_dir={base}/made --workers=1",
]


def write_corpora(base: Path) -> None:
    synthetic.write_pretext(base / "talking", num_speakers=4, clips_per_speaker=1)
    synthetic.write_pretext(base / "few", num_speakers=2, clips_per_speaker=1)
    synthetic.write_speech(base / "speech", num_speakers=3, clips_per_speaker=6)


_TIMES = ("time", "examples_per_second")
_SECONDS = re.compile(
    rb"[\d,]+ examples a second|seconds since.*?\d+|seconds_since.*?\d+|>seconds</th><td>\d+",
    re.DOTALL,
)
_NOT_COMPARED = re.compile(r"(^|/)(events/.*tfevents.*|\.lock|metadata/.*)$")


def outputs(folder: Path) -> dict[str, str]:
    """Path -> a hash of what may not differ; of checkpoints, the arrays."""
    return dict(sorted(_outputs(folder)))


def _outputs(folder: Path) -> Iterator[tuple[str, str]]:
    for root, folders, names in os.walk(folder):
        checkpoint = "_CHECKPOINT_METADATA" in names
        if checkpoint:
            folders.clear()
            yield f"{Path(root).relative_to(folder)}", _hash(_arrays(Path(root)))
        for name in () if checkpoint else names:
            path = Path(root, name)
            place = path.relative_to(folder).as_posix()
            if not _NOT_COMPARED.search(place):
                yield place, _hash(_without_times(path))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _without_times(path: Path) -> bytes:
    if path.name == "metrics.jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [{k: v for k, v in row.items() if k not in _TIMES} for row in rows]
        return json.dumps(rows).encode()
    if path.name == "results.json":
        return json.dumps(json.loads(path.read_text()) | {"environment": {}}).encode()
    if path.name == "report.html":
        return _SECONDS.sub(b"", path.read_bytes())
    return path.read_bytes()


def _arrays(step: Path) -> bytes:
    """State, model and position of a checkpoint."""
    import jax
    import orbax.checkpoint as ocp

    digest, handler = hashlib.sha256(), ocp.PyTreeCheckpointHandler()
    for item in ("state", "model"):
        shapes = handler.metadata(step / item).tree
        host = jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), shapes)
        found = handler.restore(step / item, args=ocp.args.PyTreeRestore(restore_args=host))
        for path, leaf in jax.tree_util.tree_leaves_with_path(found):
            digest.update(f"{path}".encode() + np.ascontiguousarray(leaf).tobytes())
    return digest.digest() + (step / "info" / "metadata").read_bytes()
