"""Prepared datasets on disk: `pretext` (windows with pretext labels) and `speech` (utterances).

`load` opens one; `sersl_jax.prepare` makes one.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

KINDS = ("pretext", "speech")


def default_data_dir() -> Path:
    """`$SERSL_DATA_DIR`, or a folder in the user's cache directory."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SERSL_DATA_DIR") or Path(cache, "sersl_jax", "data"))


def parse_name(name: str) -> tuple[str, str]:
    """Splits `pretext/folder` into kind and corpus; raises ValueError for other forms."""
    kind, _, corpus = name.partition("/")
    if kind not in KINDS or not corpus or "/" in corpus:
        raise ValueError(f"dataset {name!r} is not of the form pretext/CORPUS or speech/CORPUS")
    return kind, corpus


def create_builder(kind: str, **arguments: Any) -> "DatasetBuilder":
    """The TFDS builder of `pretext` or `speech`, see `datasets.builder.Builder`."""
    # Imported late: TFDS and librosa take a second.
    if kind == "pretext":
        from sersl_jax.datasets.pretext.pretext_dataset_builder import Builder
    else:
        from sersl_jax.datasets.speech.speech_dataset_builder import Builder
    return Builder(**arguments)


def load(name: str, data_dir: str | Path | None = None) -> "DatasetBuilder":
    """The prepared dataset `name`, such as `pretext/folder`; its only split is `train`.

    Raises FileNotFoundError as `folder` does.
    """
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(str(folder(name, data_dir)))


def folder(name: str, data_dir: str | Path | None = None) -> Path:
    """Where the newest prepared version of dataset `name` lies.

    Raises FileNotFoundError, with the command that prepares it, where there is none.
    """
    found = find(name, data_dir)
    if found is None:
        raise FileNotFoundError(
            f"no prepared dataset {name} in {data_dir or default_data_dir()}: "
            f"run python -m sersl_jax.prepare --dataset={name} --source=... --data_dir=..."
        )
    return found


def find(name: str, data_dir: str | Path | None = None) -> Path | None:
    """The folder of the newest prepared version of dataset `name`, or None."""
    root = Path(data_dir or default_data_dir()).expanduser().joinpath(*parse_name(name))
    folders = [path.parent for path in root.glob("*.*.*/dataset_info.json")]
    finished = [path for path in folders if path.name.replace(".", "").isdigit()]
    return max(finished, key=lambda path: [*map(int, path.name.split("."))], default=None)
