"""The parts of wav2vec 2.0's task without parameters: masks, distractors and loss terms.

Shapes are static, so that everything compiles once. A row without valid frames, or with fewer than
one span of them, masks nothing and counts nowhere.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sersl_jax.models.ser import valid

Masked = Bool[Array, "batch frames"]
Counts = Int[Array, "batch frames frames"]


def span_mask(
    key: PRNGKeyArray,
    num_frames: Int[Array, " batch"],
    size: int,
    probability: float = 0.065,
    length: int = 10,
    min_spans: int = 2,
) -> Bool[Array, "batch {size}"]:
    """Spans of `length` frames to hide in each row; they start at distinct frames and may overlap.

    A row of n frames gets floor(probability * n + u) spans, u ~ U(0, 1), and `min_spans` at least
    (as far as they fit): 6 or 7 in 2 s, about half of the frames.
    """
    count_key, start_key = jax.random.split(key)
    starts = jnp.maximum(num_frames - length + 1, 0)
    rounding = jax.random.uniform(count_key, num_frames.shape)
    spans = jnp.floor(probability * num_frames + rounding).astype(starts.dtype)
    spans = jnp.minimum(jnp.maximum(spans, min_spans), starts)
    scores = jax.random.uniform(start_key, (*num_frames.shape, size))
    scores = jnp.where(valid(starts, size), scores, 2.0)
    begins = scores.argsort(axis=1).argsort(axis=1) < spans[:, None]
    begun = jnp.cumsum(begins, axis=1)
    ended = jnp.pad(begun, ((0, 0), (length, 0)))[:, :size]
    return begun > ended


def draw_distractors(key: PRNGKeyArray, masked: Masked, number: int = 100) -> Counts:
    """How often frame j is drawn as a distractor for frame i, among `number` draws.

    Drawn with replacement, evenly from the row's other masked frames.
    """
    batch, frames = masked.shape
    others = jnp.maximum(masked.sum(axis=1) - 1, 1)
    drawn = jax.random.randint(key, (batch, frames, number), 0, others[:, None, None])
    rank = jnp.cumsum(masked, axis=1) - 1  # of a frame among the row's masked ones
    drawn = drawn + (drawn >= rank[..., None])  # passes over the frame itself
    masked_first = jnp.argsort(~masked, axis=1, stable=True)
    chosen = jnp.take_along_axis(masked_first[:, None], drawn, axis=2, mode="clip")
    return jax.vmap(jax.vmap(lambda frame: jnp.bincount(frame, length=frames)))(chosen)


def unit(x: Float[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
    """Vectors of length 1; a zero vector stays zero, with a finite gradient."""
    return x * jax.lax.rsqrt(jnp.maximum((x * x).sum(axis=-1, keepdims=True), 1e-16))


def contrast(
    predictions: Float[Array, "batch frames dim"],
    targets: Float[Array, "batch frames dim"],
    codes: Int[Array, "batch frames groups"],
    counts: Counts,
    temperature: float = 0.1,
) -> tuple[Float[Array, "batch frames"], Bool[Array, "batch frames"], Float[Array, "batch frames"]]:
    """Loss of each frame, whether its own target scores best, and the chance that it would.

    The loss is the cross-entropy of cosine similarities, the frame's own target against its
    distractors. Distractors with the target's own codes are left out; a frame that has no other is
    not counted as right. Chance is 1 / (1 + distinct codes among the distractors): a few codes or
    few masked frames raise it far above 1 / 101.
    """
    same = (codes[:, :, None] == codes[:, None]).all(axis=-1)
    counts = jnp.where(same, 0, counts)
    similar = jnp.einsum("bid,bjd->bij", unit(predictions), unit(targets)) / temperature
    own = jnp.diagonal(similar, axis1=1, axis2=2)
    weights = counts + jnp.eye(counts.shape[1], dtype=counts.dtype)
    losses = jax.nn.logsumexp(similar, axis=-1, b=weights) - own
    best = jnp.where(counts > 0, similar, -jnp.inf).max(axis=-1)
    drawn = (counts > 0).astype(jnp.float32)
    repeats = jnp.einsum("bij,bkj->bik", drawn, same.astype(jnp.float32))
    distinct = (drawn / jnp.maximum(repeats, 1.0)).sum(axis=-1)
    return losses, (own > best) & (distinct > 0), 1.0 / (1.0 + distinct)


def perplexity(
    probabilities: Float[Array, "batch frames groups entries"], masked: Masked
) -> Float[Array, " groups"]:
    """exp of the entropy of the mean over masked frames: how many entries are in use."""
    weights = masked / jnp.maximum(masked.sum(), 1)
    mean = jnp.einsum("bfge,bf->ge", probabilities, weights)
    # 1e-7 as in fairseq: an entry that no frame takes must not have an infinite gradient.
    return jnp.exp(-(mean * jnp.log(mean + 1e-7)).sum(axis=-1))


def diversity(
    probabilities: Float[Array, "batch frames groups entries"], masked: Masked
) -> Float[Array, ""]:
    """Share of codebook entries not in use, 0 at best."""
    entries = probabilities.shape[2] * probabilities.shape[3]
    return (entries - perplexity(probabilities, masked).sum()) / entries


def feature_penalty(features: Float[Array, "batch frames width"], mask: Masked) -> Float[Array, ""]:
    """Mean square of the features of valid frames: holds the feature encoder's scale."""
    squares = jnp.where(mask[..., None], features, 0.0) ** 2
    return squares.sum() / jnp.maximum(mask.sum() * features.shape[-1], 1)
