"""Makes goldens/ser.npz from the PyTorch reference: python -m tests.models.make_goldens_ser.

For every variant: logits, the summed loss, and each parameter's gradient as its product with fixed
noise (a number a parameter proves the gradient as well as the whole would).
"""

from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.ser_torch import SerConfig, SerNet, losses
from tests.models import golden_weights

TASKS = {"energy": (1, "bce"), "action_units": (5, "ce")}


def main() -> None:
    found = {}
    for variant, choices in golden_weights.VARIANTS.items():
        config = SerConfig(**{"causal": False, "pooling": "mean", **choices}, task_heads=TASKS)
        network = SerNet(config).eval()
        weights = golden_weights.torch_weights(config.residual)
        network.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
        x, lengths, y = golden_weights.batch(variant)
        out = network(torch.tensor(x), torch.tensor(lengths).long())
        targets = {
            "energy": torch.tensor(y["energy"])[:, None],
            "action_units": torch.tensor(y["action_units"]),
        }
        loss = sum(losses(config, out, targets).values())
        loss.backward()
        found[f"{variant}/loss"] = loss.detach().numpy()
        found |= {f"{variant}/{task}": logits.detach().numpy() for task, logits in out.items()}
        for name, parameter in network.named_parameters():
            product = parameter.grad.numpy() * golden_weights.noise(
                f"probe {name}", parameter.shape
            )
            found[f"{variant}/gradient/{name}"] = product.sum(dtype=np.float64).astype(np.float32)
    np.savez_compressed(Path(__file__).parent / "goldens" / "ser.npz", **found)


if __name__ == "__main__":
    main()
