"""The second baseline's pre-training objective: wav2vec 2.0 on the waveforms (Sec. 4.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sersl_jax.config import ModelConfig
from sersl_jax.models import contrastive
from sersl_jax.models.build import create_pretrain_network
from sersl_jax.models.wav2vec2 import num_frames
from sersl_jax.models.wav2vec2_pretrain import Outputs
from sersl_jax.tasks import Task
from sersl_jax.training.objectives import Inputs, Means, Metrics, Params, Weights

# fairseq's weights of the three losses, each a mean over masked frames.
WEIGHTS = {"contrastive": 1.0, "diversity": 0.1, "features": 10.0}


@dataclass(frozen=True)
class Wav2Vec2:
    """Contrastive loss, codebook diversity and feature penalty, weighted and summed.

    Metrics are sums over masked frames and their number. Perplexity and chance need care:
    `codebook_perplexity_<group>` counts the entries that a batch's masked frames would take without
    noise, and its mean over batches is reported (the perplexity of a whole epoch would be higher,
    and no batch exceeds its number of masked frames); `chance_contrastive` is what
    `accuracy_contrastive` would be by luck.

    Attributes:
      model: a `PretrainNet`.
      temperature: of the Gumbel softmax: first, last, decay in each step.
    """

    model: nn.Module
    mask_probability: float
    mask_length: int
    min_spans: int
    num_negatives: int
    temperature: tuple[float, float, float]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """None: codes take the place of labels."""
        return ()

    @property
    def main_tasks(self) -> tuple[Task, ...]:
        """None; an epoch is judged by the whole loss."""
        return ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what `loss` measures."""
        losses = (f"loss_{name}" for name in WEIGHTS)
        groups = range(1, self.model.head_contrastive.groups + 1)
        perplexities = (f"codebook_perplexity_{group}" for group in groups)
        others = ("accuracy_contrastive", "chance_contrastive", "share_masked", "temperature")
        return (*losses, *others, *perplexities)

    def init(self, key: PRNGKeyArray, batch: Inputs) -> Params:
        """Fresh parameters."""
        waveform, lengths = batch["inputs"], batch["lengths"]
        masked = jnp.zeros((waveform.shape[0], num_frames(waveform.shape[1])), bool)
        return self.model.init(key, waveform, lengths, masked, 1.0, None)["params"]

    def logits(
        self, params: Params, batch: Inputs, key: PRNGKeyArray | None
    ) -> dict[str, Float[Array, "batch outputs"]]:
        """None, as there are no tasks."""
        return {}

    def loss(
        self,
        params: Params,
        batch: Inputs,
        weights: Weights,
        key: PRNGKeyArray | None,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics, Params]:
        """Loss a masked frame; with `key=None` masks and distractors are the same every time."""
        temperature = self.softmax_temperature(step)
        fixed = jax.random.key(0) if key is None else key
        mask_key, draw_key, model_key = jax.random.split(fixed, 3)
        lengths = jnp.where(batch["mask"], batch["lengths"], 0)
        masked = contrastive.span_mask(
            mask_key, num_frames(lengths), num_frames(batch["inputs"].shape[1]),
            self.mask_probability, self.mask_length, self.min_spans,
        )  # fmt: skip
        out: Any = self.model.apply(
            {"params": params}, batch["inputs"], lengths, masked, temperature,
            None if key is None else model_key,
        )  # fmt: skip
        counts = contrastive.draw_distractors(draw_key, masked, self.num_negatives)
        losses, metrics = self.terms(out, masked, counts)
        metrics["temperature"] = (temperature, jnp.ones(()))
        return sum((weights[n] * loss for n, loss in losses.items()), jnp.zeros(())), metrics, {}

    def softmax_temperature(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """The Gumbel softmax's: max(2 * 0.999995^step, 0.5) in the base model."""
        first, last, decay = self.temperature
        schedule = optax.exponential_decay(first, 1, decay, end_value=last)
        return jnp.asarray(schedule(step), jnp.float32)

    def terms(
        self,
        out: Outputs,
        masked: Bool[Array, "batch frames"],
        counts: Int[Array, "batch frames frames"],
    ) -> tuple[dict[str, Float[Array, ""]], Metrics]:
        """The three losses, a masked frame each, and the metrics."""
        number = masked.sum(dtype=jnp.float32)
        frames, right, chance = contrastive.contrast(
            out.predictions, out.targets, out.codes, counts
        )
        losses = {
            "contrastive": frames.sum(where=masked) / jnp.maximum(number, 1.0),
            "diversity": contrastive.diversity(out.probabilities, masked),
            "features": contrastive.feature_penalty(out.features, out.mask),
        }
        metrics = {f"loss_{name}": (loss * number, number) for name, loss in losses.items()}
        metrics["accuracy_contrastive"] = (right.sum(where=masked, dtype=jnp.float32), number)
        metrics["chance_contrastive"] = (chance.sum(where=masked), number)
        metrics["share_masked"] = (number, out.mask.sum(dtype=jnp.float32))
        likeliest = jax.nn.one_hot(out.probabilities.argmax(axis=-1), out.probabilities.shape[-1])
        any_masked = (number > 0).astype(jnp.float32)
        used = contrastive.perplexity(likeliest, masked) * any_masked
        for group in range(used.shape[0]):
            metrics[f"codebook_perplexity_{group + 1}"] = (used[group], any_masked)
        return losses, metrics

    def warning(self, means: Mapping[str, Any]) -> str | None:
        """Says when a codebook has collapsed."""
        return collapse_warning(means, self.model.head_contrastive.entries)

    def scores(self, means: Means, weights: Weights) -> dict[str, Float[Array, ""]]:
        """The epoch's means, and its loss."""
        loss = sum((weights[n] * means[f"loss_{n}"] for n in WEIGHTS), jnp.zeros(()))
        return {**means, "loss": loss}


def collapse_warning(means: Mapping[str, Any], entries: int, share: float = 0.02) -> str | None:
    """What to tell the user when a codebook is hardly used, or None when all is well.

    Args:
      means: an epoch's means of the objective's metrics.
      entries: of each group's codebook.
      share: of the entries under which a codebook counts as collapsed.
    """
    used = {n: float(v) for n, v in means.items() if n.startswith("codebook_perplexity_")}
    collapsed = [f"{n.rsplit('_', 1)[1]} ({v:.1f})" for n, v in used.items() if v < share * entries]
    if not collapsed:
        return None
    return (
        f"codebook collapse: perplexity of group {', '.join(collapsed)} of {entries} entries; "
        "contrastive accuracy means nothing now. Try a lower learning rate or a longer warm-up, "
        "a larger weight of the diversity loss, a slower temperature decay, or a larger batch"
    )


def create_wav2vec2(config: ModelConfig, dtype: str) -> Wav2Vec2:
    """The objective of `config.model`."""
    chosen = config.wav2vec2
    return Wav2Vec2(
        create_pretrain_network(config, dtype),
        chosen.mask_probability,
        chosen.mask_length,
        chosen.min_spans,
        chosen.num_negatives,
        chosen.temperature,
    )
