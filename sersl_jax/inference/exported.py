"""A run as files for other programs: written, and (safetensors) read back."""

import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sersl_jax import checksums, files
from sersl_jax.config import Config
from sersl_jax.inference import out_of_domain
from sersl_jax.inference.ensemble import Ensemble, create_ensemble, create_forward
from sersl_jax.inference.out_of_domain import Gated
from sersl_jax.training import export_folder

_NEEDS = {"safetensors": "safetensors", "stablehlo": "flatbuffers"}
FILES = {"safetensors": export_folder.MODEL, "stablehlo": "model.stablehlo"}


def write(ensemble: Ensemble, format: str, out: Path, dtype: str = "float32") -> None:
    """Writes the model, config.json and the model card to the folder `out`.

    `dtype` is of the parameters in safetensors; they are read back as float32. The second network
    of a gated ensemble goes to a folder in it, or (stablehlo) into the same function. An older
    export in `out` goes. Raises ValueError where `out` holds other files of these names.
    """
    second = out / out_of_domain.FOLDER
    older = _is_export(out)
    if older:
        checksums.forget(out, [name for name in FILES.values() if name != FILES[format]])
    out.mkdir(parents=True, exist_ok=True)
    if format == "safetensors" and isinstance(ensemble, Gated):  # first: it is of no use alone
        write(ensemble.other, format, second, dtype)
        out_of_domain.write_gate(ensemble.gate, second)
    elif older:
        shutil.rmtree(second, ignore_errors=True)
    model = _safetensors(ensemble, dtype) if format == "safetensors" else _stablehlo(ensemble)
    files.write_atomically(out / FILES[format], lambda path: path.write_bytes(model))
    config = json.dumps(_config(ensemble, format), indent=1, default=str)
    files.write_text(out / "config.json", config)
    files.write_text(out / "README.md", _card(ensemble, format))
    checksums.write(out, (FILES[format], "config.json"))


def _is_export(out: Path) -> bool:
    """Whether `out` holds an export; raises ValueError where it holds something else."""
    config = out / "config.json"
    ours = config.is_file() and files.read_json(config).get("model_type") == "sersl_jax"
    found = [name for name in ("config.json", "README.md") if (out / name).exists()]
    if found and not ours:
        raise ValueError(f"{out} holds a {found[0]} of something else: take another --out")
    return ours


def create_function(ensemble: Ensemble) -> Callable[..., Any]:
    """`(inputs [batch time (130)], lengths [batch]) -> answers`, weights inside.

    Answers are those of `ensemble.create_forward`.

    Inputs are as measured. Raises ValueError for a run that normalises speakers, of whom one clip
    is not enough.
    """
    if ensemble.scope == "speaker":
        raise ValueError(
            "--format=stablehlo: this run normalises all clips of a speaker together "
            "(data.normalise=speaker), which a function of one batch cannot; take safetensors"
        )
    forward = create_forward(ensemble.info)
    normalise = _each_alone if ensemble.scope == "utterance" else lambda inputs, lengths: inputs

    def function(inputs: Float[Array, "batch time ..."], lengths: Int[Array, " batch"]):
        answers = forward(ensemble.weights, normalise(inputs, lengths), lengths)[0]
        if not isinstance(ensemble, Gated):
            return answers
        far = ensemble.gate.distances(out_of_domain.means(inputs, lengths)) > ensemble.gate.limit
        others = create_forward(ensemble.other.info)(ensemble.other.weights, inputs, lengths)[0]
        return jnp.where(far[:, None], others, answers)

    return function


def _each_alone(
    inputs: Float[Array, "batch time features"], lengths: Int[Array, " batch"]
) -> Float[Array, "batch time features"]:
    """`training.normaliser.from_frames` for every row, in float32: shifted, to lose no digits."""
    inside = jnp.arange(inputs.shape[1])[:, None] < lengths[:, None, None]
    x = inputs - inputs[:, :1]
    count = jnp.maximum(lengths, 1)[:, None, None]
    mean = jnp.where(inside, x, 0.0).sum(axis=1, keepdims=True) / count
    square = jnp.where(inside, (x - mean) ** 2, 0.0).sum(axis=1, keepdims=True) / count
    std = jnp.sqrt(square)
    level = jnp.abs(mean + inputs[:, :1])
    return (x - mean) / jnp.where(std > 1e-6 * (1.0 + level), std, 1.0)


def read_safetensors(folder: Path) -> Ensemble:
    """The ensemble that `--format=safetensors` wrote.

    Raises ValueError, naming the folder, where it is none or of another version.
    """
    check_installed("safetensors")
    weights, config = export_folder.read(folder)
    try:
        ensemble = create_ensemble(weights, config["members"], config["training"])
        if not checksums.cover(folder, (export_folder.MODEL, "config.json")):
            _check_fit(ensemble)  # takes a tenth of a second, and what was written together fits
    except Exception as error:  # flax, JAX and pydantic each have their own
        first = next(iter(str(error).strip().splitlines()), "")  # an assertion may say nothing
        said = f"{type(error).__name__}: {first[:200]}"
        raise ValueError(
            f"{folder}: {export_folder.MODEL} and config.json do not fit together ({said}): export "
            "the run again"
        ) from None
    second = folder / out_of_domain.FOLDER
    if not export_folder.is_export(second):
        return ensemble
    return out_of_domain.join(ensemble, read_safetensors(second), out_of_domain.read_gate(second))


def _check_fit(ensemble: Ensemble) -> None:
    """Raises where weights lack, or have another shape than the network that is described."""
    shape = (1, 64, 130) if ensemble.input_name == "llds" else (1, 16_000)
    inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
    lengths = jax.ShapeDtypeStruct((1,), jnp.int32)
    answers, _ = jax.eval_shape(create_forward(ensemble.info), ensemble.weights, inputs, lengths)
    number = len(ensemble.labels) + len(ensemble.attributes)
    if answers.shape != (1, number) or len(ensemble.weights["temperature"]) != len(ensemble.names):
        raise ValueError(f"{answers.shape[1]} answers of {len(ensemble.names)} members")


def check_installed(format: str) -> None:
    """Raises ValueError, with the command that installs it, where a format's package is missing."""
    if importlib.util.find_spec(_NEEDS[format]) is None:
        raise ValueError(f"{format} needs {_NEEDS[format]}: pip install 'sersl_jax[export]'")


def _safetensors(ensemble: Ensemble, dtype: str) -> bytes:
    """Weights by their paths, joined by dots; each has a leading axis of members.

    The normaliser stays in float32: descriptors are beyond float16's range.
    """
    from safetensors.numpy import save

    params = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), ensemble.weights["params"])
    weights = {**ensemble.weights, "params": params}
    leaves = jax.tree_util.tree_leaves_with_path(weights)
    names = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves)
    arrays = (np.ascontiguousarray(leaf) for _, leaf in leaves)
    return save(dict(zip(names, arrays, strict=True)), metadata={"format": "np"})


def _stablehlo(ensemble: Ensemble) -> bytes:
    from jax import export

    # 400 samples are one frame of wav2vec 2.0.
    batch, time = export.symbolic_shape("batch, time", constraints=["time >= 400"])
    if ensemble.input_name == "llds":
        batch, time = export.symbolic_shape("batch, time")
    features = ensemble.weights["mean"].shape[1:] if ensemble.input_name == "llds" else ()
    inputs = jax.ShapeDtypeStruct((batch, time, *features), jnp.float32)
    lengths = jax.ShapeDtypeStruct((batch,), jnp.int32)
    function = jax.jit(create_function(ensemble))
    return bytes(export.export(function, platforms=("cpu", "cuda"))(inputs, lengths).serialize())


def _config(ensemble: Ensemble, format: str) -> Mapping[str, Any]:
    labels = dict(enumerate(ensemble.labels))
    return {
        "model_type": "sersl_jax",
        "version": export_folder.VERSION,
        "file": FILES[format],
        "id2label": labels,
        "label2id": {name: number for number, name in labels.items()},
        **({"attributes": ensemble.attributes} if ensemble.attributes else {}),
        "sampling_rate": 16_000,
        "input": ensemble.input_name,
        "normalise": ensemble.scope,
        "members": list(ensemble.names),
        "training": {**ensemble.info, "config": _without_folders(ensemble.info["config"])},
    }


def _without_folders(config: Mapping[str, Any]) -> dict[str, Any]:
    """Where the data lay on the computer of the training is nobody else's business."""
    stages = {name: {**config[name], "source": ""} for name in ("pretrain", "finetune")}
    return {**config, **stages, "data": {**config["data"], "data_dir": ""}}


def _card(ensemble: Ensemble, format: str) -> str:
    """The model card: front matter as hubs read it, what it is, how to use it, its limits."""
    config, on_llds = ensemble.config, ensemble.input_name == "llds"
    usage = _USE_SAFETENSORS if format == "safetensors" else _use_stablehlo(config, on_llds)
    kind = {"llds": "130 ComParE low-level descriptors", "waveform": "raw 16 kHz sound"}
    normalised = {"train": _INSIDE, "utterance": _BY_ITSELF, "speaker": _BY_SPEAKER}[ensemble.scope]
    return _CARD.format(
        answers=_answers(ensemble),
        name=config.name,
        members=f"{len(ensemble.names)} (splits {', '.join(ensemble.names)})",
        dataset=ensemble.info["dataset"]["name"],
        pretrained=", ".join(next(iter(config.pretrain.members.values()), {})) or "-",
        input=f"{kind[ensemble.input_name]}; {normalised}",
        usage=usage,
        licence=_LICENCE if on_llds else "",
    )


def _answers(ensemble: Ensemble) -> str:
    """What the model says, in its order."""
    said = []
    if ensemble.labels:
        said = [f"Classes: {', '.join(ensemble.labels)}; probabilities are calibrated on each"]
        said[0] += " member's validation speakers."
    scales = [f"{name} ({a:g} to {b:g})" for name, (a, b) in ensemble.attributes.items()]
    return "\n".join([*said, *([f"Attributes: {', '.join(scales)}."] if scales else [])])


def _use_stablehlo(config: Config, on_llds: bool) -> str:
    modules, comment, read = "audio", "mono float32 at 16 kHz", 'audio.read("clip.wav")'
    if on_llds:
        modules, comment = "audio, llds", "or your own 130 descriptors, 32 ms every 16 ms"
        window = config.data.pitch_window
        changed = "" if window == Config().data.pitch_window else f", pitch_window={window}"
        read = f"llds.extract({read}{changed})"
    return f"""import jax
from sersl_jax.features import {modules}  # {comment}

model = jax.export.deserialize(open("model.stablehlo", "rb").read())
x = {read}
print(model.call(x[None], jax.numpy.array([len(x)])))  # [batch answers], as in config.json"""


_INSIDE = "the normaliser is inside"
_BY_ITSELF = "each sound is normalised by itself, which is done inside"
_BY_SPEAKER = (
    "normalised by all clips of a speaker: `recognizer.speaker_normaliser(clips)` gives what "
    "`predict(clip, normaliser=...)` takes"
)
_CARD = """---
library_name: sersl_jax
pipeline_tag: audio-classification
tags: [speech-emotion-recognition, jax, flax]
---

# {name}: speech emotion recognition

{answers}

Means over {members} members.

| | |
|---|---|
| fine-tuned on | {dataset} |
| pretext tasks | {pretrained} |
| input | {input} |

## Use

```python
{usage}
```

## Limits

Acted or elicited emotion of the corpus above, as that corpus labels it; other speakers, languages
and rooms differ. Not for decisions about people.{licence}
"""
_LICENCE = " The descriptors come from openSMILE, whose licence is\nnon-commercial."

_USE_SAFETENSORS = """import sersl_jax

recognizer = sersl_jax.load("FOLDER")
print(recognizer.predict("clip.wav"))"""
