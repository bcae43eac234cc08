"""How a run of CREMA-D does by its test speakers' sex and age: rows for a model card.

    python -m tests.benchmarks.speaker_gaps runs/best

Macro F1 over all test clips of a group; accuracy is the mean over its speakers, with the 95 %
interval of a bootstrap over speakers.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

AGES = {"20 to 29": (20, 29), "30 to 39": (30, 39), "40 to 49": (40, 49), "50 to 74": (50, 74)}


def main(run: str) -> None:
    """Prints a table in per cent."""
    rows = pd.read_csv(Path(run, "predictions.csv"), dtype={"speaker_id": str})
    groups = {"women": rows["sex"] == "female", "men": rows["sex"] == "male"}
    groups |= {f"aged {name}": rows["age"].between(*ages) for name, ages in AGES.items()}
    print(
        "| test speakers | number | macro-F1 | accuracy (95 % over speakers) |\n|---|---|---|---|"
    )
    for name, chosen in groups.items():
        print(line(name, rows.loc[chosen]))


def line(name: str, rows: pd.DataFrame) -> str:
    """One group's row of the table."""
    right = np.array((rows["label"] == rows["prediction"]).groupby(rows["speaker_id"]).mean())
    drawn = np.random.default_rng(0).choice(right, (10_000, len(right))).mean(axis=1)
    low, high = 100 * np.percentile(drawn, [2.5, 97.5])
    f1 = 100 * float(f1_score(rows["label"], rows["prediction"], average="macro"))
    spread = f"{100 * right.mean():.1f} ({low:.1f} to {high:.1f})"
    return f"| {name} | {len(right)} | {f1:.1f} | {spread} |"


if __name__ == "__main__":
    main(sys.argv[1])
