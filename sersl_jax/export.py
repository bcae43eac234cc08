"""A run for other programs: `python -m sersl_jax.export [--checkpoint=runs/ssl1]`.

`stablehlo`: features to probabilities as one file that JAX runs without this package (and other
XLA runtimes do), for any batch size and number of frames. `safetensors`: weights, config.json and a
model card, as model hubs have them; `sersl_jax.load` and `predict --checkpoint` take the folder.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from sersl_jax import cli

if TYPE_CHECKING:
    from sersl_jax.inference.ensemble import Ensemble

_FORMATS = ("safetensors", "stablehlo")
_NO_ONNX = (
    "--format=onnx is left out: no maintained converter takes the network with any batch size and "
    "number of frames (jax2onnx stops at its scanned layers); take stablehlo or safetensors"
)


def define_flags() -> None:
    """The flags of the command."""
    flags.DEFINE_string("checkpoint", None, "A run's directory [the model in the package].")
    flags.DEFINE_string("format", "safetensors", "safetensors | stablehlo.")
    flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "Of safetensors' parameters.")
    flags.DEFINE_string("out", None, "Folder to write [export_<format> in the run's, or here].")
    flags.DEFINE_string("out_of_domain", None, "A run for recordings unlike the training's.")
    flags.DEFINE_string("data_dir", None, "With --out_of_domain: the training data [default].")
    flags.DEFINE_list("members", None, "Splits whose models are averaged [all].")


def main(argv: Sequence[str]) -> None:
    """Exports what the command line names."""
    if argv[1:]:
        raise ValueError(f"unknown argument {argv[1]!r}: flags look like --checkpoint=runs/ssl1")
    chosen = flags.FLAGS
    given = chosen.checkpoint, chosen.format, chosen.out, chosen.members, chosen.dtype
    run(*given, chosen.out_of_domain, chosen.data_dir)


def run(
    checkpoint: str | None,
    format: str = "safetensors",
    out: str | Path | None = None,
    members: Sequence[str] | None = None,
    dtype: str = "float32",
    out_of_domain: str | None = None,
    data_dir: str | None = None,
) -> None:
    """Writes the folder; raises ValueError for what cannot be exported, and says why.

    `out_of_domain` is a run that is asked about recordings unlike those of `checkpoint`'s training
    data, which are in `data_dir` (see `inference.out_of_domain`).
    """
    if format not in _FORMATS:
        raise ValueError(
            _NO_ONNX if format == "onnx" else f"--format={format}: take {' or '.join(_FORMATS)}"
        )
    from sersl_jax.inference import exported
    from sersl_jax.inference.load import load

    exported.check_installed(format)
    folder = Path(out or Path(checkpoint or "", f"export_{format}"))
    ensemble = load(checkpoint).ensemble
    if out_of_domain:
        ensemble = _gated(ensemble, load(out_of_domain).ensemble, data_dir)
    exported.write(ensemble.select(members), format, folder, dtype)
    print(f"written: {folder}/{exported.FILES[format]}, config.json, README.md")


def _gated(ensemble: "Ensemble", other: "Ensemble", data_dir: str | None) -> "Ensemble":
    from sersl_jax.inference import learnt, out_of_domain

    folders = [data_dir, ensemble.config.data.data_dir or None]
    trained = learnt.find_trained(ensemble.info, ensemble.input_name, folders)
    if trained is None:
        name = ensemble.info["dataset"]["name"]
        raise ValueError(
            f"--out_of_domain needs {name} as the run learnt it: --data_dir says where"
        )
    return out_of_domain.create(ensemble, other, trained)


if __name__ == "__main__":
    cli.run(main, define_flags)
