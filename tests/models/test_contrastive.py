import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax.models import contrastive

contrast = jax.jit(contrastive.contrast)

FRAMES = jnp.array([99, 40, 12, 9, 0])


def span_mask(seed, num_frames=FRAMES):
    return jax.jit(contrastive.span_mask, static_argnums=2)(jax.random.key(seed), num_frames, 99)


@pytest.mark.parametrize("seed", range(5))
def test_spans_lie_within_the_row_and_number_two_at_least(seed):
    masked = span_mask(seed)
    assert not (masked & (jnp.arange(99) >= FRAMES[:, None])).any()
    assert masked.sum(axis=1)[1] >= 11  # two spans at distinct starts
    assert masked.sum(axis=1)[2] >= 11
    assert masked.sum(axis=1)[3:].tolist() == [0, 0]  # no span fits
    for row in np.asarray(masked[:3]):
        edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
        assert (np.diff(edges)[::2] >= 10).all()


def test_share_masked_is_that_of_6_to_7_spans_of_10_in_99_frames():
    masked = span_mask(0, jnp.full(4_000, 99))
    # A frame is free of n spans, drawn from 90 starts, with probability (1 - 10/90)^n inside.
    assert 0.45 < masked.mean() < 0.53
    assert masked.sum(axis=1).min() >= 11
    assert masked.sum(axis=1).max() <= 70
    assert len(np.unique(masked, axis=0)) == 4_000  # every row its own


def test_distractors_are_the_other_masked_frames_of_the_row_evenly():
    masked = jnp.array([[True, True, False, True, True], [False] * 5])
    counts = contrastive.draw_distractors(jax.random.key(0), masked, 6_000)
    assert counts.shape == (2, 5, 5)
    assert (counts.sum(axis=-1) == 6_000).all()
    rows = counts[0][masked[0]][:, masked[0]]
    np.testing.assert_allclose(rows, 2_000 * (1 - np.eye(4)), atol=150)


def reference_contrast(predictions, targets, codes, negatives):
    """wav2vec 2.0's formulas, one frame at a time; `negatives` are frames' numbers."""
    losses = []
    for i, others in enumerate(negatives):
        others = [j for j in others if (codes[j] != codes[i]).any()]
        chosen = np.stack([targets[i], *(targets[j] for j in others)])
        norms = np.linalg.norm(chosen, axis=1) * np.linalg.norm(predictions[i])
        logits = chosen @ predictions[i] / norms / 0.1
        losses.append(np.log(np.exp(logits).sum()) - logits[0])
    return losses


def test_loss_is_the_cross_entropy_over_distractors_of_other_codes():
    rng = np.random.default_rng(0)
    predictions, targets = rng.normal(size=(2, 1, 6, 4)).astype(np.float32)
    codes = rng.integers(2, size=(1, 6, 2))
    negatives = rng.integers(6, size=(6, 9))
    counts = np.stack([np.bincount(n, minlength=6) for n in negatives])[None]
    losses, *_ = contrast(*map(jnp.asarray, (predictions, targets, codes, counts)))
    expected = reference_contrast(predictions[0], targets[0], codes[0], negatives)
    np.testing.assert_allclose(losses[0], expected, rtol=1e-4)


def test_accuracy_and_chance_of_orthogonal_targets():
    targets = jnp.eye(5)[None]
    codes = jnp.arange(5)[None, :, None]
    counts = 3 * (1 - jnp.eye(5, dtype=int))[None]
    _, right, chance = contrast(targets, targets, codes, counts)
    assert right.all()
    np.testing.assert_allclose(chance, 0.2)
    _, right, _ = contrast(targets[:, ::-1], targets, codes, counts)
    assert right[0].tolist() == [False, False, True, False, False]


def test_a_collapsed_codebook_scores_nothing_right():
    targets = jnp.ones((1, 4, 3))
    counts = 1 - jnp.eye(4, dtype=int)[None]
    losses, right, chance = contrast(targets, targets, jnp.zeros((1, 4, 2), int), counts)
    np.testing.assert_allclose(losses, 0.0, atol=1e-6)
    assert not right.any()
    assert (chance == 1).all()


def test_zero_vectors_have_finite_gradients():
    zeros = jnp.zeros((1, 3, 4))
    counts = 1 - jnp.eye(3, dtype=int)[None]
    gradient = jax.grad(lambda x: contrast(x, x, jnp.arange(3)[None, :, None], counts)[0].sum())(
        zeros
    )
    assert jnp.isfinite(gradient).all()


def test_perplexity_and_diversity_by_hand():
    probabilities = (
        jnp.zeros((1, 4, 2, 8))
        .at[:, :, 0, 0]
        .set(1.0)
        .at[:, jnp.arange(4), 1, jnp.arange(4)]
        .set(1.0)
    )
    masked = jnp.array([[True, True, False, True]])
    np.testing.assert_allclose(contrastive.perplexity(probabilities, masked), [1.0, 3.0], rtol=1e-5)
    np.testing.assert_allclose(
        contrastive.diversity(probabilities, masked), (16 - 4) / 16, rtol=1e-5
    )


def test_feature_penalty_by_hand():
    features = jnp.array([[[1.0, 2.0], [3.0, 0.0], [100.0, 100.0]]])
    mask = jnp.array([[True, True, False]])
    assert contrastive.feature_penalty(features, mask) == (1 + 4 + 9 + 0) / 4
    assert contrastive.feature_penalty(features, jnp.zeros((1, 3), bool)) == 0
