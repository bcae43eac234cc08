"""How parameters are updated and training batches augmented; see `sersl_jax.config`."""

from dataclasses import dataclass
from typing import Literal

from sersl_jax.config.model import Checked, Count, Natural, NotNegative, Positive, Rate, Share


@dataclass(frozen=True)
class OptimizerConfig(Checked):
    """Adam with clipped gradients (Sec. 4.3)."""

    learning_rate: Positive = 7.25e-4  # Sec. 4.3, fine-tuning
    # plateau: x plateau_factor after plateau_patience epochs without a better validation loss
    # (Sec. 4.3) | linear, cosine: down to 0 at the last step
    schedule: Literal["plateau", "linear", "cosine"] = "plateau"
    warmup_steps: Natural = 0  # from 0 up to learning_rate, before any schedule
    warmup_share: Rate = 0.0  # of all steps, beside warmup_steps
    plateau_factor: Share = 0.1
    plateau_patience: Count = 5  # epochs
    plateau_threshold: NotNegative = 1e-4  # relative
    plateau_floor: NotNegative = 0.0  # the rate is not reduced below this share of the first one
    clip_norm: NotNegative = 0.8  # 0: not clipped
    beta1: Rate = 0.9
    beta2: Rate = 0.999
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0  # of matrices (AdamW)


@dataclass(frozen=True)
class AugmentConfig(Checked):
    """What happens to training batches of LLDs (training/augmentation.py)."""

    time_masks: Natural = 0  # a clip
    time_width: Natural = 24  # frames at most
    llds_masks: Natural = 0  # a clip
    llds_width: Natural = 8  # descriptors at most
    # Of the Beta distribution that clips' shares are drawn from, which are then mixed in pairs;
    # 0: not mixed.
    mixup: NotNegative = 0.0
