"""The report's learning curves, from `metrics.jsonl`."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sersl_jax.config.target import EMOTION
from sersl_jax.reports import charts, html

STAGES = {"pretrain": "Pre-training", "finetune": "Fine-tuning"}
_ACCURACY = re.compile("validation/accuracy_(.+)")
_PERPLEXITY = re.compile("validation/codebook_perplexity_([0-9]+)")
_WEIGHTS = {"alpha": "alpha, of what comes in", "beta": "beta, of what is added"}


@dataclass(frozen=True)
class Curves:
    """One member's rows of `metrics.jsonl`, one an epoch, in order."""

    rows: list[dict[str, Any]]
    select: str = "loss"  # `config.finetune.select`
    patience: int = 0
    tasks: tuple[str, ...] = (EMOTION,)  # `config.finetune.tasks`

    @property
    def name(self) -> str:
        """The split's seed, or the method."""
        return str(self.rows[0].get("name", self.rows[0]["member"]))

    def values(self, key: str) -> Float[np.ndarray, "epochs"]:
        """One number an epoch; nan where there is none."""
        return np.array([_number(row.get(key)) for row in self.rows])

    def lists(self, key: str) -> Float[np.ndarray, "epochs entries"]:
        """One list an epoch (alpha of each layer)."""
        return np.array([row[key] for row in self.rows], np.float64)

    @cached_property
    def chosen(self) -> int:
        """Index of the epoch that was kept; the last one, if there is no validation number."""
        if self.select == "loss":
            values = self.values("validation/loss")
        else:
            found = [self.values(f"validation/{self.select}_{task}") for task in self.tasks]
            values = -np.mean([value for value in found if np.isfinite(value).any()], axis=0)
        best, lowest = -1, np.inf
        for epoch, value in enumerate(values):
            if value < lowest and not (self.patience and epoch - best > self.patience):
                best, lowest = epoch, value
        return best if best >= 0 else len(values) - 1

    @property
    def reason(self) -> str:
        """What made `chosen` the best."""
        if self.select == "loss":
            return "the lowest validation loss"
        return f"the highest validation {self.select.replace('_', ' ')}"

    def line(
        self, key: str, name: str, color: int, style: str = "", dot: bool = False
    ) -> charts.Line:
        """A curve over the epochs, with the chosen epoch marked if asked for."""
        chosen = self.chosen if dot else None
        return charts.Line(
            name, self.values("epoch").tolist(), self.values(key).tolist(), color, style, chosen
        )


def sections(path: Path, config: Mapping[str, Any]) -> list[str]:
    """One section a stage of `config`; none where there is no file."""
    stages = read(path, config) if path.is_file() else {}
    order = sorted(stages, key=lambda stage: (stage == "finetune", stage))
    return [_stage(stage, stages[stage]) for stage in order]


def read(path: Path, config: Mapping[str, Any]) -> dict[str, list[Curves]]:
    """The members of each stage, told apart by name: of splits trained in turn, each has number 0.

    An epoch that was trained again after an interruption has two rows: the later one counts.
    """
    rows: dict[str, dict[str, dict[int, dict]]] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        name = str(row.get("name", row["member"]))
        rows.setdefault(row["stage"], {}).setdefault(name, {})[row["epoch"]] = row
    return {
        stage: [
            Curves([by_epoch[e] for e in sorted(by_epoch)], *_choice(config.get(stage, {})))
            for by_epoch in members.values()
        ]
        for stage, members in rows.items()
    }


def _choice(stage: Mapping[str, Any]) -> tuple[str, int, tuple[str, ...]]:
    return stage.get("select", "loss"), stage.get("patience", 0), (*stage.get("tasks", [EMOTION]),)


def _stage(stage: str, members: Sequence[Curves]) -> str:
    keys = set(members[0].rows[-1])
    shown = [_losses(members), _accuracies(members, sorted(keys))]
    shown += [_weights(members, [name for name in _WEIGHTS if name in keys])]
    groups = sorted(key for key in keys if _PERPLEXITY.fullmatch(key))
    shown += [_perplexity(members, groups)] if groups else []
    title = STAGES.get(stage, stage)
    return html.section(title, _told(members), html.figures(*shown), _each(members))


def _told(members: Sequence[Curves]) -> str:
    epochs = [int(member.values("epoch")[-1]) for member in members]
    chosen = [int(member.values("epoch")[member.chosen]) for member in members]
    rates = np.concatenate([member.values("examples_per_second") for member in members])
    number = len(members)
    facts = [
        f"{number} models" if number > 1 else "One model",
        f"{_range(epochs)} epochs",
        f"epoch {_range(chosen)} chosen: {members[0].reason}",
    ]
    if np.isfinite(rates).any():
        facts.append(f"{np.nanmedian(rates):,.0f} examples a second")
    return html.note(", ".join(facts) + ".")


def _losses(members: Sequence[Curves]) -> str:
    style = "faint" if len(members) > 1 else ""
    lines = [member.line("train/loss", f"{member.name}, training", 1, style) for member in members]
    lines += [
        member.line("validation/loss", f"{member.name}, validation", 0, style, dot=True)
        for member in members
    ]
    picture = charts.plot(lines, label="Loss by epoch", x_label="epoch", y_label="loss", whole=True)
    what = "A line a model; its dot" if len(members) > 1 else "The dot"
    caption = f"{what} is the chosen epoch: {members[0].reason}."
    legend = {"training": "c1", "validation": "c0", "chosen": "round c0"}
    return html.figure("Loss", picture, caption, legend)


def _accuracies(members: Sequence[Curves], keys: Sequence[str]) -> str:
    """Validation accuracy of every task against its majority class, mean of the members."""
    tasks = [found[1] for key in keys if (found := _ACCURACY.fullmatch(key))]
    lines, rows = [], []
    for color, task in enumerate(tasks):
        accuracy, majority = f"validation/accuracy_{task}", f"validation/majority_{task}"
        lines.append(_mean_line(members, accuracy, task, color))
        rows.append([task, *_gain(members, accuracy, majority)])
        if majority in keys:
            lines.append(_mean_line(members, majority, f"{task}: majority", color, "dashed"))
    if not tasks:
        return ""
    picture = charts.plot(
        lines,
        label="Accuracy by epoch",
        x_label="epoch",
        y_label="accuracy, %",
        percent=True,
        whole=True,
    )
    legend = {task: f"c{color}" for color, task in enumerate(tasks)}
    legend |= {"majority class": "dashed"} if len(lines) > len(tasks) else {}
    table = html.table(["task", "accuracy", "majority", "gain"], rows)
    caption = (
        "Validation speakers; the table is of the chosen epoch. A task that stays on its dashed "
        "line has learnt nothing."
    )
    return html.figure("Accuracy of each task", picture + table, caption, legend)


def _gain(members: Sequence[Curves], accuracy: str, majority: str) -> list[str]:
    """Accuracy, majority class and their difference at the chosen epoch, mean of the members."""
    found = [[m.values(key)[m.chosen] for m in members] for key in (accuracy, majority)]
    reached, base = (100 * float(np.mean(values)) for values in found)
    known = [f"{base:.1f}", f"{reached - base:+.1f}"]
    return [f"{reached:.1f}", *(["—", "—"] if np.isnan(base) else known)]


def _weights(members: Sequence[Curves], names: Sequence[str]) -> str:
    """Residual weights of each layer over the epochs, mean of the members."""
    lines = {name: _list_lines(members, name, "layer") for name in names}
    pictures = [
        charts.plot(
            curves, label=_WEIGHTS[name], x_label="epoch", y_label=_WEIGHTS[name], whole=True
        )
        for name, curves in lines.items()
    ]
    caption = "Learnt residual weights of the second stack's layers."
    legend = {line.name: f"c{line.color}" for line in next(iter(lines.values()), ())}
    shown = html.figure("Residual weights", "".join(pictures), caption, legend)
    return shown if lines else ""


def _perplexity(members: Sequence[Curves], keys: Sequence[str]) -> str:
    lines = [_mean_line(members, key, f"group {k}", k % 8) for k, key in enumerate(keys, start=1)]
    picture = charts.plot(
        lines, label="Codebook perplexity", x_label="epoch", y_label="entries in use", whole=True
    )
    caption = "Perplexity of the quantiser's groups; near 1 means that the codebook collapsed."
    return html.figure("Codebook", picture, caption, {x.name: f"c{x.color}" for x in lines})


def _each(members: Sequence[Curves]) -> str:
    """A small picture of each member, where there are several."""
    small = []
    for member in members if len(members) > 1 else ():
        lines = [
            member.line("train/loss", "training", 1),
            member.line("validation/loss", "validation", 0, dot=True),
        ]
        last = member.rows[member.chosen]
        picture = charts.spark(lines, f"Loss of {member.name}")
        text = f"{member.name}: epoch {last['epoch']}, loss {last['validation/loss']:.3f}"
        small.append(f"<div>{picture}{html.escape(text)}</div>")
    grid = f'<div class="sparks">{"".join(small)}</div>' if small else ""
    return html.details("Loss of each model", grid)


def _mean_line(
    members: Sequence[Curves], key: str, name: str, color: int, style: str = ""
) -> charts.Line:
    length = min(len(member.rows) for member in members)
    means = np.mean([member.values(key)[:length] for member in members], axis=0)
    epochs = members[0].values("epoch")[:length]
    return charts.Line(name, epochs.tolist(), means.tolist(), color, style)


def _list_lines(members: Sequence[Curves], key: str, what: str) -> list[charts.Line]:
    """A line for each entry of a list, mean of the members."""
    length = min(len(member.rows) for member in members)
    means = np.mean([member.lists(key)[:length] for member in members], axis=0)
    epochs = members[0].values("epoch")[:length].tolist()
    return [
        charts.Line(f"{what} {k + 1}", epochs, values.tolist(), k % 8)
        for k, values in enumerate(means.T)
    ]


def _number(value: float | int | None) -> float:
    return float("nan") if value is None else float(value)


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
