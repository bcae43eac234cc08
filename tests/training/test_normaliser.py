"""What the network sees has mean 0 and SD 1 over the frames that `data.normalise` names."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax.config import create
from sersl_jax.training import init_from, input_pipeline, loop
from sersl_jax.training.normaliser import scope_notes, speaker_statistics
from tests import made_up
from tests.trained_run import trained_run

SCOPES = ("train", "speaker", "utterance")
TRAINED_ON = ["speaker0", "speaker1", "speaker2"]


def seen(scope, examples):
    """The network's inputs of some examples, without padding, streamed and resident alike."""
    corpus = made_up.corpus()
    statistics = speaker_statistics(corpus)
    storage = input_pipeline.create_storage(corpus, statistics, "float32", scope)
    normaliser = storage.relative(statistics.member(scope, TRAINED_ON))
    step = input_pipeline.Step(64, examples[None].astype(np.int32))
    read = jax.tree.map(lambda leaf: leaf[0], input_pipeline.read_batch(storage, step))
    resident = jax.device_put(input_pipeline.create_resident(storage))
    chex.assert_trees_all_equal(
        resident.gather(jnp.asarray(step.indices[0]), 64).inputs, read.inputs
    )
    x = input_pipeline.normalise(jax.tree.map(jnp.asarray, read), normaliser, 0.0)
    return [np.asarray(x[row, :length]) for row, length in enumerate(read.lengths)]


def standardised(frames):
    frames = np.concatenate(frames)
    return np.abs(frames.mean(axis=0)).max() < 1e-3 and np.abs(frames.std(axis=0) - 1).max() < 1e-3


def test_over_the_training_speakers():
    ids = made_up.corpus().speaker_ids
    assert standardised(seen("train", np.flatnonzero(np.isin(ids, TRAINED_ON))))
    assert not standardised(seen("train", np.flatnonzero(ids == "speaker0")))
    assert not standardised(seen("train", np.flatnonzero(~np.isin(ids, TRAINED_ON))))


@pytest.mark.parametrize("speaker", ["speaker0", "speaker5"])
def test_over_each_speakers_own_frames(speaker):
    examples = np.flatnonzero(made_up.corpus().speaker_ids == speaker)
    assert standardised(seen("speaker", examples))
    assert not standardised(seen("speaker", examples[:1]))


def test_over_each_clips_own_frames():
    for clip in seen("utterance", np.array([0, 7, 59])):
        assert standardised([clip])


def test_streaming_gives_the_same_parameters_in_another_scope(tmp_path):
    config = made_up.config()
    config.data.normalise = "speaker"
    config.finetune.epochs = 1
    (tmp_path / "device").mkdir()
    (tmp_path / "stream").mkdir()
    best = [
        loop.fit(
            made_up.training((0,), residency, scope="speaker"),
            create(config),
            tmp_path / residency / "members",
            tmp_path / residency,
        )[1]
        for residency in ("device", "stream")
    ]
    chex.assert_trees_all_equal(*map(jax.device_get, best))


def test_a_model_of_another_scope_is_no_start(tmp_path):
    config = create(made_up.config())
    config = replace(
        config,
        data=replace(config.data, normalise="speaker"),
        finetune=replace(config.finetune, init_from=str(trained_run())),
    )
    with pytest.raises(ValueError, match=r"was trained with config.data.normalise=train, not spe"):
        init_from.read_start(config, tmp_path, "tiny")


def test_results_are_stamped_with_another_scope_than_the_training_speakers():
    assert scope_notes("train") == []
    assert "over each speaker's own frames" in scope_notes("speaker")[0]
    assert "data.normalise=utterance" in scope_notes("utterance")[0]
