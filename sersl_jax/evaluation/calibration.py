"""Temperature scaling: probabilities that can be believed, fitted on validation clips."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import fminbound
from scipy.special import log_softmax


def fit_temperature(
    logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]
) -> float:
    """The temperature, within 0.05 to 20, that minimises cross-entropy; dividing logits by it
    changes no prediction."""

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(labels)), labels].mean())

    return float(np.exp(fminbound(loss, np.log(0.05), np.log(20.0))))
