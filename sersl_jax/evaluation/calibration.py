"""Temperature scaling: probabilities that can be believed, fitted on validation clips."""

import numpy as np
from jaxtyping import Float, Num


def fit_temperature(
    logits: Float[np.ndarray, "clips classes"], labels: Num[np.ndarray, "clips *classes"]
) -> float:
    """The temperature, within 0.05 to 20, that minimises cross-entropy; dividing logits by it
    changes no prediction.

    Labels are class numbers or each class's share of votes.
    """
    from scipy.optimize import fminbound
    from scipy.special import log_softmax

    shares = labels if labels.ndim == 2 else np.eye(logits.shape[1])[labels]

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float((shares * scaled).sum(axis=1).mean())

    return float(np.exp(fminbound(loss, np.log(0.05), np.log(20.0))))
