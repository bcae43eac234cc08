import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sersl_jax.training import input_pipeline
from sersl_jax.training.normaliser import speaker_statistics
from tests import made_up


def generators(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    batch_size=st.integers(1, 9),
    bucket=st.integers(1, 70),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=50)
def test_a_plan_holds_every_example_of_every_member_once(sizes, batch_size, bucket, seed):
    lengths = np.random.default_rng(seed).integers(1, 200, 200).astype(np.int32)
    members = [np.arange(200)[3 * k : 3 * k + size] for k, size in enumerate(sizes)]
    order = np.random.default_rng(seed)
    plan = input_pipeline.plan_epoch(
        members, lengths, batch_size, bucket, generators(*range(len(members))), order
    )
    for number, examples in enumerate(members):
        rows = np.stack([step.indices[number] for step in plan])
        assert sorted(rows[rows >= 0]) == sorted(examples)
    for step in plan:
        longest = lengths[step.indices[step.indices >= 0]].max()
        assert longest <= step.length < longest + bucket
        assert step.length % bucket == 0 or step.length == lengths.max()


def test_a_members_batches_and_their_order_do_not_depend_on_the_others():
    lengths = np.random.default_rng(0).integers(1, 200, 100).astype(np.int32)
    one, other = np.arange(40), np.arange(20, 100)

    def plan(members, seeds):
        order = np.random.default_rng(5)
        return input_pipeline.plan_epoch(members, lengths, 8, 32, generators(*seeds), order)

    alone = [step.indices[0] for step in plan([one], [1])]
    beside = [step.indices[1] for step in plan([other, one], [2, 1])]
    beside = [rows for rows in beside if (rows >= 0).any()]
    np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_resident_and_streamed_batches_are_the_same(dtype):
    corpus = made_up.corpus()
    storage = input_pipeline.create_storage(corpus, speaker_statistics(corpus), dtype)
    resident = jax.device_put(input_pipeline.create_resident(storage))
    step = input_pipeline.Step(64, np.array([[3, 7, -1], [59, 0, 1]], np.int32))
    gathered = jax.vmap(lambda indices: resident.gather(indices, 64))(step.indices)
    read = input_pipeline.read_batch(storage, step)
    for one, other in zip(jax.tree.leaves(gathered), jax.tree.leaves(read), strict=True):
        valid = other if other.ndim != 2 else np.where(read.mask, other, one)  # labels of padding
        np.testing.assert_array_equal(one, valid)


def test_normaliser_uses_training_speakers_only_and_survives_storage():
    corpus = made_up.corpus()
    statistics = speaker_statistics(corpus)
    normaliser = statistics.normaliser(["speaker0", "speaker1"])
    chosen = np.flatnonzero(np.isin(corpus.speaker_ids, ["speaker0", "speaker1"]))
    frames = np.concatenate([corpus.read(int(i)) for i in chosen])
    np.testing.assert_allclose(normaliser.mean, frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(normaliser.std, frames.std(axis=0), rtol=1e-5)
    storage = input_pipeline.create_storage(corpus, statistics, "float32")
    relative = storage.relative(normaliser)
    x = corpus.read(4)
    expected = (x - normaliser.mean) / normaliser.std
    found = (storage.whiten(4, x) - relative.mean) / relative.std
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_normalising_clips_and_leaves_padding_zero():
    corpus = made_up.corpus()
    statistics = speaker_statistics(corpus)
    storage = input_pipeline.create_storage(corpus, statistics, "float32")
    step = input_pipeline.Step(64, np.array([[3, -1]], np.int32))
    batch = jax.tree.map(lambda leaf: leaf[0], input_pipeline.read_batch(storage, step))
    normaliser = storage.relative(statistics.normaliser(["speaker0"]))
    batch = jax.tree.map(jax.numpy.asarray, batch)
    out = np.asarray(input_pipeline.normalise(batch, normaliser, 1.5))
    assert np.abs(out).max() == 1.5
    assert not out[0, corpus.lengths[3] :].any()
    assert not out[1].any()
