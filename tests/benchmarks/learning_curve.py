"""How many clips a class fine-tuning needs: from the model in the package, fresh, and an SVM.

    python -m tests.benchmarks.learning_curve --source=../shared/data/emodb --out=DIR \\
        [--dataset=speech/emodb] [--sizes=5,20,100] [--num_splits=5]

Of each split's training speakers that many clips a class are drawn (all, where there are fewer);
validation and test speakers keep all of theirs. Writes curve.json, curve.md and curve.svg after
every size; the same command goes on where it was. Each training is 300 steps of 16 clips.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sersl_jax import methods
from sersl_jax.config import Config, create
from sersl_jax.evaluation.protocol import create_splits
from sersl_jax.evaluation.splits import Split
from sersl_jax.training import experiment, targets, testing
from sersl_jax.training.inputs import open_dataset

STARTS = {"default": "from the model in the package", "": "fresh"}
SVM = "SVM on functionals"


def main() -> None:
    """Measures what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="speech/emodb")
    parser.add_argument("--source", default="")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", default="5,20,100")
    parser.add_argument("--num_splits", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    jax.config.update("jax_compilation_cache_dir", str(given.out / "xla"))
    scores: dict[str, dict[int, list[float]]] = {}
    for size in map(int, given.sizes.split(",")):
        for name, found in measure(given, size).items():
            scores.setdefault(name, {})[size] = found
        write(scores, given.out)
    print((given.out / "curve.md").read_text())


def measure(given: argparse.Namespace, size: int) -> dict[str, list[float]]:
    """The macro F1 of each split, of every line."""
    found: dict[str, list[float]] = {}
    for start, name in STARTS.items():
        config = make_config(given, start)
        path = given.out / f"splits_{size}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(json.dumps(draw(create(config), size)))
        config.finetune.protocol = str(path)
        workdir = given.out / f"{start or 'fresh'}_{size}"
        experiment.run(create(config), workdir)
        saved = json.loads((workdir / "results.json").read_text())
        found[name] = [split["metrics"]["macro_f1"] for split in saved["splits"]]
        found[SVM] = [saved["baselines"]["svm"]["mean"]["macro_f1"]]
    return found


def make_config(given: argparse.Namespace, start: str) -> Any:
    """`best`, with masks, mixup, and as many steps whatever the number of clips."""
    config: Any = methods.best("paper")
    data = {"dataset": given.dataset, "source": given.source, "init_from": start}
    config.finetune.update({**data, "num_splits": given.num_splits, "steps": given.steps})
    config.finetune.augment.update({"time_masks": 2, "llds_masks": 2, "mixup": 0.4})
    config.data.update({"data_dir": str(given.out / "data"), "bucket": {"llds": 192}})
    return config


def draw(config: Config, size: int) -> list[dict[str, list[str] | str]]:
    """The protocol's splits, their training side as clips."""
    dataset, truth, _ = targets.apply_label_rule(
        open_dataset(config, config.finetune), config.finetune.label
    )
    clips = testing.clip_table(dataset, truth)
    splits = create_splits("paper", list(clips["speaker_id"]), config.finetune.num_splits)
    return [{"seed": str(s.seed), **_sides(s, clips, size)} for s in splits]


def _sides(split: Split, clips: pd.DataFrame, size: int) -> dict[str, list[str]]:
    ours = clips[clips["speaker_id"].isin(split.train)].sample(frac=1, random_state=size)
    chosen = sorted(ours.groupby("label").head(size)["clip"])
    return {"train": chosen, "validation": [*split.validation], "test": [*split.test]}


def write(scores: dict[str, dict[int, list[float]]], out: Path) -> None:
    """Numbers, a table in per cent and a picture."""
    (out / "curve.json").write_text(json.dumps(scores, indent=1))
    sizes = list(next(iter(scores.values())))
    lines = [f"| macro-F1 | {' | '.join(f'{s} clips a class' for s in sizes)} |"]
    lines.append("|---" * (len(sizes) + 1) + "|")
    for name, found in scores.items():
        cells = [f"{100 * np.mean(found[s]):.1f}" for s in sizes]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    (out / "curve.md").write_text("\n".join(lines) + "\n")
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    plt.rcParams["svg.hashsalt"] = "curve"
    figure, axes = plt.subplots(figsize=(5, 3))
    for name, found in scores.items():
        axes.plot(sizes, [100 * np.mean(found[s]) for s in sizes], marker="o", label=name)
    axes.set(xscale="log", xticks=sizes, xticklabels=sizes)
    axes.minorticks_off()
    axes.set(xlabel="training clips a class", ylabel="macro-F1, %", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(out / "curve.svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
