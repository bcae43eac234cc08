"""Emotion recognition: every split of the protocol trained, tested and scored (Sec. 4.3, 5)."""

import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import scipy.special
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from sersl_jax import files, sharding
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import baselines, calibration, protocol, results
from sersl_jax.evaluation.label_rule import LabelRule, create_labels, soft_targets
from sersl_jax.evaluation.splits import Split
from sersl_jax.models.build import create_network
from sersl_jax.reports import run
from sersl_jax.tasks import Task
from sersl_jax.training import init_from
from sersl_jax.training.init_from import Pretrained
from sersl_jax.training.input_pipeline import Resident, Storage
from sersl_jax.training.inputs import create_inputs, describe, open_dataset, stack
from sersl_jax.training.loop import fit
from sersl_jax.training.normaliser import SpeakerStatistics, speaker_statistics
from sersl_jax.training.objectives import Multitask
from sersl_jax.training.trainer import Engine, Training, fresh_params

# Saved activations of one frame of one member's batch, both stacks, float32.
BYTES_PER_FRAME = 220_000


def finetune(
    config: ConfigDict, workdir: Path, place: Path, row: str, base: ConfigDict, began: float
) -> None:
    """Trains, tests and scores every split of the protocol; writes the results to `place`."""
    if (place / "results.json").exists():
        if jax.process_index() == 0 and not (place / "report.html").exists():
            run.write(place)
        print(results.table(json.loads((place / "results.json").read_text())))
        return
    stage = config.finetune
    corpus, truth, rule = label(open_dataset(config, stage), stage.label)
    corpus_rows = _table(corpus, truth)
    splits, warnings = create_splits(corpus_rows, config)
    statistics = speaker_statistics(corpus)
    inputs = create_inputs(config, corpus, statistics)
    start = init_from.read_start(config, workdir, row)
    if start is not None:
        tested = np.concatenate([_examples(corpus_rows, split, "test") for split in splits])
        warnings += start.check(corpus, tested, stage.allow_speaker_overlap)
    predictions, program = [], None
    for group in _groups(config, splits, corpus, place / "finetune"):
        training = _split_training(config, inputs, statistics, corpus_rows, group, start)
        directory = place / "finetune" / f"{splits.index(group[0])}-{splits.index(group[-1])}"
        engine, best = fit(training, config, directory, place, program)
        program = engine.program
        predictions += _test(engine, best.params, corpus_rows, group, directory)
    if jax.process_index():
        return
    written = results.write(
        place,
        pd.concat(predictions, ignore_index=True),
        splits,
        {**config.to_dict(), "name": row},
        stage.protocol,
        rule,
        {**_environment(), "seconds_since_last_start": round(time.time() - began, 1)},
        corpus=corpus_rows,
        classes=corpus.label_names["emotion"],
        warnings=warnings,
        base_config=base.to_dict(),
        baselines=_svm(config, corpus, corpus_rows, splits),
    )
    run.write(place)
    print(results.table(written))


def create_splits(rows: pd.DataFrame, config: ConfigDict) -> tuple[list[Split], list[str]]:
    """The protocol's splits of labelled clips, and the leaks that the user allowed.

    Raises `protocol.LeakError` for leaks that weren't.
    """
    stage = config.finetune
    speakers, clips = list(rows["speaker_id"]), list(rows["clip"])
    splits = protocol.create_splits(stage.protocol, speakers, stage.num_splits, config.seed)
    allowed = stage.allow_speaker_overlap
    leaks = [protocol.check(s, speakers, list(rows["sha256"]), clips, allowed) for s in splits]
    return splits, [leak for of_split in leaks for leak in of_split]


def label(
    corpus: Dataset, config: ConfigDict
) -> tuple[Dataset, Int[np.ndarray, " examples"], dict[str, Any]]:
    """Applies the label rule, where the corpus has votes.

    Returns the corpus with what is learnt (classes, or shares of votes), the classes that count as
    right (-1: the rule gives none), and the rule as results are stamped with it.
    """
    own = corpus.labels["emotion"]
    if corpus.votes is None or not corpus.votes.any():
        return corpus, own, {"source": "corpus"}
    rule = LabelRule(config.source, config.targets, config.ties, config.seed)
    truth = create_labels(rule, corpus.votes, own, list(corpus.examples["clip"])).astype(np.int32)
    learnt = soft_targets(rule, corpus.votes) if rule.targets == "soft" else truth
    learnt = learnt.astype(np.float32 if rule.targets == "soft" else np.int32)
    return replace(corpus, labels={"emotion": learnt}), truth, rule.stamp()


def _split_training(
    config: ConfigDict,
    inputs: tuple[Dataset, Storage, Resident | None],
    statistics: SpeakerStatistics,
    rows: pd.DataFrame,
    splits: Sequence[Split],
    start: Pretrained | None,
) -> Training:
    """One member a split, each with its own training speakers, normaliser and randomness."""
    corpus = inputs[0]
    task = Task("emotion", corpus.label_names["emotion"])
    model = config.model.to_dict()
    if "embed/extractor" in config.finetune.freeze:
        model["wav2vec2"]["gradient_scale"] = 0.0  # saves the convolutions' backward pass
    objective = Multitask(create_network(model, (task,), config.dtype), (task,))
    sides = [[_examples(rows, split, side) for split in splits] for side in ("train", "validation")]

    def people(examples: Int[np.ndarray, " _"]) -> list[str]:
        return sorted(set(corpus.speaker_ids[examples]))

    speakers = [{"train": people(t), "validation": people(v)} for t, v in zip(*sides, strict=True)]
    training = Training(
        "finetune",
        [str(split.seed) for split in splits],
        objective,
        *inputs,
        *sides,
        stack([statistics.normaliser(people["train"]) for people in speakers]),
        {"emotion": np.ones(len(splits), np.float32)},
        seeds=[zlib.crc32(str(split.seed).encode()) for split in splits],
        frozen=tuple(config.finetune.freeze),
        info=describe(config, corpus, (task,), speakers),
    )
    if start is None:
        return training
    return replace(training, initial=start.with_fresh_heads(fresh_params(training, config)))


def _test(
    engine: Engine, params: Any, rows: pd.DataFrame, splits: Sequence[Split], directory: Path
) -> list[pd.DataFrame]:
    """Calibrates each member on its validation clips; then its test clips, each scored once."""
    (task,) = engine.training.objective.tasks
    truth = rows.set_index("example")["label"]
    test = [_examples(rows, split, "test") for split in splits]
    validation = engine.training.validation
    frames, temperatures = [], []
    answers = zip(
        splits, validation, test,
        engine.logits(params, validation, task.name), engine.logits(params, test, task.name),
        strict=True,
    )  # fmt: skip
    for split, chosen_on, tested, known_logits, logits in answers:
        numbers = np.array([task.classes.index(name) for name in truth[chosen_on]])
        temperatures.append(calibration.fit_temperature(_softmax_logits(known_logits), numbers))
        p = scipy.special.softmax(_softmax_logits(logits) / temperatures[-1], axis=1)
        frame = rows.set_index("example").loc[tested].reset_index(drop=True)
        frame.insert(0, "split", split.seed)
        frame.insert(4, "prediction", np.array(task.classes)[p.argmax(axis=1)])
        columns = pd.DataFrame(p, columns=[f"p_{name}" for name in task.classes])
        extra = frame.drop(columns=[*results.COLUMNS, "sha256"])
        frames.append(pd.concat([frame[list(results.COLUMNS)], columns, extra], axis=1))
    path = directory / "temperatures.json"
    if jax.process_index() == 0:
        files.write_text(path, json.dumps(temperatures))
    return frames


def _softmax_logits(logits: Float[np.ndarray, "clips outputs"]) -> Float[np.ndarray, "clips _"]:
    """A single logit as two, of which softmax gives the same probabilities."""
    return logits if logits.shape[1] > 1 else np.concatenate([0 * logits, logits], axis=1)


def _groups(
    config: ConfigDict, splits: list[Split], corpus: Dataset, directory: Path
) -> list[list[Split]]:
    """Splits that are trained at once: as many as fit; on a CPU, one a device.

    Groups that were begun, maybe on another machine, stay as they are.
    """
    stage = config.finetune
    begun = sorted(tuple(map(int, path.name.split("-"))) for path in directory.glob("*-*"))
    groups = [splits[first : last + 1] for first, last in begun]
    splits = splits[sum(map(len, groups)) :]
    if not splits:
        return groups
    most = stage.parallel_members
    if not most and jax.default_backend() == "cpu":
        most = jax.device_count()
    if not most:
        frames = int(corpus.lengths.max()) * stage.batch_size
        most = max(1, int(0.7 * sharding.free_memory() / (BYTES_PER_FRAME * frames)))
    number = -(-len(splits) // most)
    size = -(-len(splits) // number)
    return groups + [splits[i : i + size] for i in range(0, len(splits), size)]


def _svm(config: ConfigDict, corpus: Dataset, rows: pd.DataFrame, splits: Sequence[Split]):
    """The line to beat (reference lines of the report), where the corpus has LLDs in it."""
    if corpus.input_name != "llds":
        return None
    features = np.stack([baselines.functionals(corpus.read(i)) for i in rows["example"]])
    columns = rows.drop(columns=["example", "sha256"])
    return {"svm": baselines.svm_predictions(features, columns, splits)}


def _table(corpus: Dataset, truth: Int[np.ndarray, " examples"]) -> pd.DataFrame:
    """The clips with a label: its name, the speaker, what else is known, and the example."""
    names = corpus.label_names["emotion"]
    chosen = np.flatnonzero(truth >= 0)
    examples = corpus.examples.iloc[chosen].reset_index(drop=True)
    attributes = pd.DataFrame([json.loads(text) for text in examples["attributes"]])
    votes = {} if corpus.votes is None else baselines.vote_columns(corpus.votes[chosen], names)
    table = examples[["clip", "speaker_id"]].assign(label=np.array(names)[truth[chosen]])
    return pd.concat([table, attributes], axis=1).assign(
        **votes, sha256=examples["sha256"], example=chosen
    )


def _examples(rows: pd.DataFrame, split: Split, side: str) -> Int[np.ndarray, " examples"]:
    """Positions in the corpus of one side's labelled clips."""
    chosen = split.indices(side, list(rows["speaker_id"]), list(rows["clip"]))
    return rows["example"].to_numpy()[chosen]


def _environment() -> dict[str, Any]:
    device = jax.devices()[0]
    packages = ("sersl_jax", "jax", "flax", "optax", "numpy")
    return {
        "versions": {name: version(name) for name in packages},
        "device": f"{jax.device_count()} x {device.device_kind}",
    }
