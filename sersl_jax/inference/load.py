"""A trained run, or an exported model, as a recognizer."""

from pathlib import Path

from sersl_jax.inference import exported
from sersl_jax.inference.recognizer import Recognizer
from sersl_jax.training import export_folder
from sersl_jax.training.export_folder import DEFAULT


def load(path: str | Path | None = None) -> Recognizer:
    """A trained run's directory (`runs/ssl1`), or a folder that `sersl_jax.export` wrote.

    Without a path, or "default", the model that comes with the package. Raises FileNotFoundError or
    ValueError, naming the folder and what to do.
    """
    path = DEFAULT if path in (None, "", "default") else Path(path)
    if export_folder.is_export(path):
        return Recognizer(exported.read_safetensors(path))
    from sersl_jax.inference import run_directory  # orbax takes a third of a second

    return Recognizer(run_directory.read_run(path))
