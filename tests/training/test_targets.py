"""What fine-tuning learns: the reported task, and helpers beside it (`config.finetune.helpers`)."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from sersl_jax.config import create
from sersl_jax.evaluation.label_rule import VOTES
from sersl_jax.tasks import Attribute, Task
from sersl_jax.training import loop
from sersl_jax.training.objectives import Multitask
from sersl_jax.training.targets import create_targets
from tests import made_up

HELPERS = {"votes_voice": 0.5, "sex": 0.25, "arousal": 2.0}


def corpus(**changes):
    """Made-up clips with votes of those who heard them, the speaker's sex and arousal."""
    clips = made_up.corpus()
    number = len(clips.lengths)
    votes = np.zeros((number, len(VOTES), 3), np.float32)
    votes[np.arange(number), VOTES.index("voice"), clips.labels["emotion"]] = 3
    votes[::2, VOTES.index("voice"), 0] += 1
    votes[0] = 0
    facts = [
        {"sex": "male" if i % 2 else "female", "arousal": f"{1.5 + i % 3}", "planet": "earth"}
        for i in range(number)
    ]
    facts[1] = {}
    table = clips.examples.assign(attributes=list(map(json.dumps, facts)))
    return replace(clips, examples=table, votes=votes, **changes)


def stage(**fields):
    config = made_up.config()
    config.finetune.update(fields)
    return create(config).finetune


def test_helpers_are_what_the_corpus_knows_of_a_clip():
    clips = corpus()
    found = create_targets(clips, stage(helpers=HELPERS | {"intended": 1.0}))
    assert [task.name for task in found.tasks] == ["emotion", *sorted([*HELPERS, "intended"])]
    tasks, labels = {task.name: task for task in found.tasks}, found.dataset.labels
    assert tasks["sex"] == Task("sex", ("female", "male"))
    assert tasks["arousal"] == Attribute("arousal", 1.0, 4.0)
    assert labels["sex"][:4].tolist() == [0, -1, 0, 1]
    np.testing.assert_array_equal(labels["arousal"][:4], np.float32([1.5, np.nan, 3.5, 1.5]))
    first, second = labels["votes_voice"][[0, 2]]
    assert first.tolist() == [0, 0, 0]
    own = np.eye(3)[clips.labels["emotion"][2]]
    np.testing.assert_allclose(second, (3 * own + [1, 0, 0]) / 4, rtol=1e-6)
    assert labels["intended"].tolist() == clips.labels["emotion"].tolist()


def test_without_helpers_everything_is_as_before():
    clips = corpus()
    found = create_targets(clips, stage())
    assert found.tasks == (made_up.TASK,)
    assert list(found.dataset.labels) == ["emotion"]
    assert found.truth.tolist() == clips.labels["emotion"].tolist()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sexx", "'sexx', which speech/made_up does not know: take some of votes_voice, intended,"),
        ("votes_face", "'votes_face', which speech/made_up does not know: .* sex, arousal"),
        ("planet", "'planet', which is earth everywhere"),
    ],
)
def test_a_helper_that_the_corpus_does_not_know_is_named(name, said):
    with pytest.raises(ValueError, match=rf"config\.finetune\.helpers names {said}"):
        create_targets(corpus(), stage(helpers={name: 1.0}))


def fit(directory, helpers):
    """One member beside these helpers."""
    config = made_up.config()
    config.finetune.helpers = helpers
    config.finetune.epochs = 2
    chosen = create(config)
    targets = create_targets(corpus(), chosen.finetune)
    training = made_up.training()
    weights = {"emotion": 1.0, **helpers}
    network = made_up.create_network(chosen.model, targets.tasks, "float32")
    training = replace(
        training,
        dataset=targets.dataset,
        inputs=made_up.inputs(targets.dataset),
        objective=Multitask(network, targets.tasks, 0.0, frozenset(helpers)),
        weights={name: np.full(1, weight, np.float32) for name, weight in weights.items()},
    )
    _, best = loop.fit(training, chosen, directory / "member", directory)
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return jax.device_get(best), rows


def test_helpers_train_the_encoder_and_judge_no_epoch(tmp_path):
    alone, _ = fit(tmp_path / "alone", {})
    best, rows = fit(tmp_path / "beside", HELPERS)
    for row in rows:
        assert row["validation/loss"] == row["validation/loss_emotion"]
        assert row["train/loss"] == row["train/loss_emotion"]
        assert {f"validation/loss_{name}" for name in HELPERS} < {*row}
        assert 0 < row["validation/mae_arousal"] < 3
        assert -1 <= row["validation/ccc_arousal"] <= 1
    assert best.value.item() == min(row["validation/loss"] for row in rows)
    heads = {name for name in best.params if name.startswith("head_")}
    assert heads == {"head_emotion", *(f"head_{name}" for name in HELPERS)}
    shared = (alone.params["encoder"], best.params["encoder"])
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, shared), strict=True))
