"""What fine-tuning learns: the reported task, and helpers beside it (`config.finetune.helpers`)."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from sersl_jax.config import create
from sersl_jax.datasets.dataset import join
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
        {
            "sex": "male" if i % 2 else "female",
            "arousal": f"{1.5 + i % 3}",
            "planet": "earth",
            "void": "",
        }
        for i in range(number)
    ]
    facts[1] = {}
    table = clips.examples.assign(attributes=list(map(json.dumps, facts)))
    metadata = {"scales": {"arousal": [1.0, 5.0]}}
    return replace(clips, **{"examples": table, "votes": votes, "metadata": metadata} | changes)


def stage(**fields):
    config = made_up.config()
    config.finetune.select = "loss"  # which any task has
    for name, value in fields.items():
        setattr(config.finetune, name, value)
    return create(config).finetune


def test_helpers_are_what_the_corpus_knows_of_a_clip():
    clips = corpus()
    found = create_targets(clips, stage(helpers=HELPERS | {"intended": 1.0}))
    assert [task.name for task in found.tasks] == ["emotion", *sorted([*HELPERS, "intended"])]
    tasks, labels = {task.name: task for task in found.tasks}, found.dataset.labels
    assert tasks["sex"] == Task("sex", ("female", "male"))
    assert tasks["arousal"] == Attribute("arousal", 1.0, 5.0)
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
        ("void", "'void', which is unknown everywhere"),
    ],
)
def test_a_helper_that_the_corpus_does_not_know_is_named(name, said):
    with pytest.raises(ValueError, match=rf"config\.finetune\.helpers names {said}"):
        create_targets(corpus(), stage(helpers={name: 1.0}))


def fit(directory, helpers):
    """One member beside these helpers."""
    config = made_up.config()
    config.model.context = "none"  # compiles soon
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


def test_helpers_train_what_is_shared_and_judge_no_epoch(tmp_path):
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
    shared = (alone.params["embed"], best.params["embed"])
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, shared), strict=True))


def test_attributes_alone_may_be_what_is_learnt():
    clips = corpus(metadata={"scales": {"arousal": [1.0, 7.0]}})
    found = create_targets(clips, stage(tasks={"arousal": 1.0}, helpers={"emotion": 0.1}))
    assert [task.name for task in found.tasks] == ["arousal", "emotion"]
    assert found.tasks[0] == Attribute("arousal", 1.0, 7.0)
    assert found.labelled.tolist() == [i != 1 for i in range(len(clips.lengths))]
    assert found.rule == {"source": "attributes", "attributes": "arousal"}
    both = create_targets(clips, stage(tasks={"arousal": 1.0, "emotion": 1.0}))
    assert [task.name for task in both.tasks] == ["emotion", "arousal"]
    assert both.labelled.all()


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        ({}, "tasks names 'valence', which speech/made_up does not know: take some of emotion$"),
        ({"arousal": [1.0, 5.0]}, "names 'valence', .* take some of emotion, arousal$"),
        # A scale alone is none of a clip's values, and is not offered.
        ({"valence": [1.0, 5.0]}, "names 'valence', .* take some of emotion$"),
    ],
)
def test_a_corpus_without_the_attribute_says_so_in_a_line(scales, said):
    with pytest.raises(ValueError, match=said):
        create_targets(corpus(metadata={"scales": scales}), stage(tasks={"valence": 1.0}))


def test_joined_datasets_share_the_scale():
    parts = {"speech/iemocap": {"options": {}}, "speech/msp_podcast": {"options": {}}}
    clips = corpus(metadata={"joined": parts})
    with pytest.raises(ValueError, match="differ in the scale of arousal"):
        create_targets(clips, stage(tasks={"arousal": 1.0}))
    old = replace(clips, name="speech/iemocap", metadata={"options": {}})
    task = create_targets(old, stage(tasks={"arousal": 1.0})).tasks[0]
    assert task == Attribute("arousal", 1.0, 5.0)  # the corpus's, where the dataset has none


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"pitch_window": 0.032}, "pitch_window"),
        ({"face_backend": "mediapipe", "match": "all"}, "face_backend, match"),
        ({"features": ["llds", "waveform"]}, ""),
    ],
)
def test_datasets_that_were_made_otherwise_are_not_joined(change, differing):
    options = {"features": ["llds"], "pitch_window": 0.06, "face_backend": "openface"}
    options |= {"match": "any", "classes": None}
    one = corpus(metadata={"measure_version": 2, "options": options})
    other = replace(one, name="other", metadata={"measure_version": 2, "options": options | change})
    if not differing:
        assert join([one, other]).name == f"{one.name},other"
        return
    with pytest.raises(ValueError, match=f"differ in {differing}: prepare them with the same"):
        join([one, other])
    older = replace(one, metadata={"measure_version": 1, "options": options})
    with pytest.raises(ValueError, match="differ in measure_version"):
        join([one, older])


def test_a_network_overfits_32_clips_in_two_attributes(tmp_path):
    """Its validation clips are its training clips: CCC above 0.95, and the best epoch is by it."""
    random = np.random.default_rng(0)
    facts = [json.dumps({"arousal": f"{a:.2f}", "valence": f"{v:.2f}"})
             for a, v in random.uniform(1, 5, (len(made_up.corpus().lengths), 2))]  # fmt: skip
    scales = {"arousal": [1.0, 5.0], "valence": [1.0, 5.0]}
    table = made_up.corpus().examples.assign(attributes=facts)
    clips = replace(made_up.corpus(), examples=table, metadata={"scales": scales})
    config = made_up.config()
    config.finetune.update({"epochs": 60, "batch_size": 32, "select": "ccc"})
    config.finetune.tasks = {"arousal": 1.0, "valence": 1.0}
    config.finetune.optimizer.update({"learning_rate": 1e-2, "schedule": "cosine"})
    config.model.dropout = dict.fromkeys(config.model.dropout, 0.0)
    config.model.update({"context": "none", "pooling": "statistics"})  # compiles soon
    chosen = create(config)
    targets = create_targets(clips, chosen.finetune)
    network = made_up.create_network(chosen.model, targets.tasks, "float32")
    training = replace(
        made_up.training(),
        dataset=targets.dataset,
        inputs=made_up.inputs(targets.dataset),
        objective=Multitask(network, targets.tasks),
        weights={name: np.ones(1, np.float32) for name in scales},
        train=[np.arange(32)],
        validation=[np.arange(32)],
        select="ccc",
    )
    _, best = loop.fit(training, chosen, tmp_path / "member", tmp_path)
    assert -jax.device_get(best.value).item() > 0.95
