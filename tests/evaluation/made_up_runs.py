"""Realistic run directories, made up: three models on the same splits, nothing trained."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sersl_jax.evaluation import results
from sersl_jax.evaluation.label_rule import LabelRule
from sersl_jax.evaluation.protocol import Split, create_splits

CLASSES = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]
TASKS = ("energy", "upper_face", "lower_face", "action_units")


@dataclass(frozen=True)
class Corpus:
    clips: pd.DataFrame
    splits: list[Split]


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    speakers = [str(1001 + k) for k in range(24) for _ in range(12)]
    labels = rng.choice(len(CLASSES), len(speakers), p=[0.15, 0.16, 0.15, 0.16, 0.28, 0.1])
    heard = np.where(rng.random(len(labels)) < 0.55, labels, rng.integers(0, 6, len(labels)))
    clips = pd.DataFrame(
        {
            "clip": [f"{speaker}_{k % 12:02d}_XX" for k, speaker in enumerate(speakers)],
            "speaker_id": speakers,
            "label": np.array(CLASSES)[labels],
            "sex": ["female" if int(s) % 2 else "male" for s in speakers],
            "intensity": rng.choice(["low", "medium", "high", "unspecified"], len(labels)),
            "votes_multimodal": [f"{CLASSES[label]}:1" for label in labels],
            "votes_voice": [f"{CLASSES[label]}:1" for label in heard],
        }
    )
    return Corpus(clips, create_splits("paper", speakers, 6))


def predictions(corpus: Corpus, skill: float, seed: int) -> pd.DataFrame:
    """Test rows of all splits; a larger skill puts more probability on the label."""
    frames = []
    for split in corpus.splits:
        rows = corpus.clips.iloc[split.indices("test", list(corpus.clips["speaker_id"]))]
        rng = np.random.default_rng([seed, int(split.seed)])
        labels = results.as_index(rows["label"], CLASSES)
        logits = rng.normal(size=(len(rows), 6)) + skill * np.eye(6)[labels]
        exponentials = np.exp(logits)
        probabilities = exponentials / exponentials.sum(1, keepdims=True)
        frame = rows[["clip", "speaker_id", "label"]].copy()
        frame.insert(0, "split", split.seed)
        frame["prediction"] = np.array(CLASSES)[probabilities.argmax(1)]
        frame[[f"p_{name}" for name in CLASSES]] = probabilities
        extra = rows.drop(columns=["clip", "speaker_id", "label"])
        frames.append(pd.concat([frame, extra], axis=1))
    return pd.concat(frames, ignore_index=True)


def curves(stage: str, member: int, name: object, epochs: int, layers: int = 5) -> list[dict]:
    """One row an epoch, as the training loop writes them."""
    rng = np.random.default_rng([member, epochs])
    alpha = rng.random(layers)
    tasks = TASKS if stage == "pretrain" else ("emotion",)
    rows = []
    for epoch in range(1, epochs + 1):
        done = epoch / epochs
        loss = 1.8 * np.exp(-2 * done)
        row = {"stage": stage, "member": member, "name": name, "epoch": epoch, "step": 100 * epoch}
        row |= {"time": 1.76e9 + 60 * epoch, "learning_rate": 7.25e-4 if done < 0.8 else 7.25e-5}
        row |= {"examples_per_second": 900 + 20 * rng.normal(), "gradient_norm": 0.8}
        row |= {"train/loss": loss, "validation/loss": 0.5 + loss + (max(0, done - 0.6) ** 2) * 3}
        for k, task in enumerate(tasks):
            row[f"train/loss_{task}"] = loss / len(tasks)
            row[f"validation/loss_{task}"] = 0.1 + loss / len(tasks)
            row[f"validation/accuracy_{task}"] = 0.6 + 0.25 * done - 0.03 * k + 0.01 * rng.normal()
            row[f"validation/majority_{task}"] = 0.55 + 0.02 * k
        row["alpha"] = list(alpha + 0.1 * done * np.arange(layers))
        row["beta"] = list(1 - alpha + 0.1 * done)
        rows.append(row)
    return rows


def write_run(workdir: Path, corpus: Corpus, name: str, skill: float, **options) -> Path:
    frame = predictions(corpus, skill, seed=len(name))
    results.write(
        workdir,
        frame,
        corpus.splits,
        {
            "name": name,
            "seed": 0,
            "finetune": {"epochs": 5, "learning_rate": 7.25e-4, "dataset": "speech/crema_d"},
            "model": {"dim": 130, "num_layers": 5, "causal": False},
        },
        "paper",
        LabelRule("intended").stamp(),
        {
            "versions": {"python": "3.11.7", "jax": "0.10.2", "sersl_jax": "0.1.0"},
            "device": "1 x CPU",
            "seconds_since_last_start": 312.4,
        },
        corpus=corpus.clips,
        base_config={"name": "", "seed": 0, "finetune": {"epochs": 20, "learning_rate": 7.25e-4}},
        **options,
    )
    rows = curves("pretrain", 0, name, 12) if name.startswith("ssl") else []
    for member, split in enumerate(corpus.splits):
        rows += curves("finetune", member, split.seed, 20 if name == "supervised" else 5)
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return workdir


@pytest.fixture(scope="session")
def runs(corpus, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    skills = {"supervised": 1.2, "wav2vec2": 1.3, "ssl1": 1.9}
    svm = {"svm": predictions(corpus, 1.1, 9), "svm_unweighted": predictions(corpus, 1.0, 8)}
    made = {
        name: write_run(root / name, corpus, name, skill, baselines=svm)
        for name, skill in skills.items()
    }
    return made
