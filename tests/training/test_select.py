"""Which epoch is kept (`finetune.select`), and when a member's training ends (`patience`)."""

import json
from dataclasses import replace

import chex
import jax
import numpy as np
import pytest
from sklearn.metrics import f1_score

from sersl_jax import tasks
from sersl_jax.config import create
from sersl_jax.training import loop, pretrain
from tests import made_up

EPOCHS, PATIENCE = 8, 2
SHIFT = 0.0  # nothing to learn, so that the validation loss soon rises


def fit(directory, select="loss", patience=0):
    """Three members."""
    config = made_up.config()
    config.finetune.update({"epochs": EPOCHS, "patience": patience})
    config.finetune.optimizer.learning_rate = 4e-3
    training = replace(made_up.training((0, 1, 2), shift=SHIFT), select=select)
    trainer, best = loop.fit(training, create(config), directory / "members", directory)
    return trainer, jax.device_get(best), rows(directory)


def rows(directory):
    """{metric: [members epochs]} of metrics.jsonl."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    lines.sort(key=lambda row: (row["member"], row["epoch"]))
    return {
        key: np.array([row[key] for row in lines]).reshape(3, -1)
        for key in ("validation/loss", "validation/accuracy_emotion", "validation/macro_f1_emotion")
    }


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("straight"))


def stops(losses, patience):
    """Best epoch (from 1) of one member under the rule, and the epoch after which it ends."""
    best = 1
    for epoch in range(1, len(losses) + 1):
        if losses[epoch - 1] < losses[best - 1]:
            best = epoch
        if epoch - best == patience:
            return best, epoch
    return best, len(losses)


def test_patience_ends_a_group_with_its_last_member_and_changes_no_best_epoch(straight, tmp_path):
    _, without, lines = straight
    _, best, seen = fit(tmp_path, patience=PATIENCE)
    wanted = [stops(losses, PATIENCE) for losses in lines["validation/loss"]]
    last = max(end for _, end in wanted)
    assert last < EPOCHS, lines["validation/loss"]
    assert len({end for _, end in wanted}) > 1, "no member ends before another"
    assert seen["validation/loss"].tolist() == lines["validation/loss"][:, :last].tolist()
    assert best.epoch.tolist() == [epoch for epoch, _ in wanted]
    same = np.flatnonzero(best.epoch == without.epoch)
    assert same.size
    for member in same:
        ours, theirs = (jax.tree.map(lambda x, m=member: x[m], b) for b in (best, without))
        chex.assert_trees_all_equal(ours, theirs)


@pytest.mark.parametrize("select", ["macro_f1", "accuracy"])
def test_the_selected_metric_chooses_the_epoch(straight, tmp_path, select):
    trainer, best, seen = fit(tmp_path, select)
    values = seen[f"validation/{select}_emotion"]
    assert best.epoch.tolist() == (1 + values.argmax(axis=1)).tolist()
    assert best.epoch.tolist() != straight[1].epoch.tolist()
    members = trainer.training.validation
    labels = trainer.training.dataset.labels["emotion"]
    for found, chosen, logits in zip(
        values.max(axis=1), members, trainer.logits(best.params, members, "emotion"), strict=True
    ):
        predicted = logits.argmax(axis=1)
        expected = {
            "macro_f1": f1_score(labels[chosen], predicted, average="macro", labels=[0, 1, 2]),
            "accuracy": np.mean(labels[chosen] == predicted),
        }
        np.testing.assert_allclose(found, expected[select], atol=1e-6)


@pytest.mark.parametrize("absent", [None, 0, 3])
def test_macro_f1_is_scikit_learns(absent):
    """A class that neither occurs nor is predicted counts with 0 in both."""
    random = np.random.default_rng(1)
    known = [c for c in range(4) if c != absent]
    labels, predicted = random.choice(known, (2, 50))
    confusion = np.zeros((4, 4), np.float32)
    np.add.at(confusion, (labels, predicted), 1)
    expected = f1_score(labels, predicted, average="macro", labels=range(4), zero_division=0)
    found = jax.jit(tasks.macro_f1)(confusion / 50)  # a share of examples does as well
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pre_training_is_selected_by_loss(monkeypatch, tmp_path):
    clips = made_up.corpus()
    labels = {"energy": clips.labels["emotion"] % 2}
    dataset = replace(clips, labels=labels, label_names={"energy": ("low", "high")})
    fitted = []
    monkeypatch.setattr(pretrain, "open_dataset", lambda *_: dataset)
    monkeypatch.setattr(pretrain, "fit", lambda training, *_: fitted.append(training))
    config = made_up.config()
    config.finetune.select = "macro_f1"
    config.pretrain.members = {"mine": {"energy": 1.0}}
    pretrain.pretrain(create(config), tmp_path)
    assert [training.select for training in fitted] == ["loss"]
