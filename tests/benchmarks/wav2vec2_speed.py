"""A pre-training step here and in transformers: `python -m tests.benchmarks.wav2vec2 speed`.

Both train wav2vec 2.0's own context network (post-LN, convolutional positions) in float32 with the
same sizes, masks and number of negatives, forward, backward and Adam's update. transformers draws
masks and negatives in NumPy; that is timed too, as every step needs new ones. The row `paper` is
this package with the paper's context network.
"""

import argparse
import json
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sersl_jax.training.objectives_wav2vec2 import WEIGHTS
from tests.benchmarks import wav2vec2 as benchmark


def seconds(step: Callable[[], None], repeats: int = 5) -> float:
    """The fastest of `repeats` runs after a first one."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def time_jax(args: argparse.Namespace, context: str, waveforms: np.ndarray) -> float:
    objective = benchmark.create_objective(args, context)
    optimizer = optax.adam(1e-4)
    batch = benchmark.as_batch(jnp.asarray(waveforms))
    weights = jax.tree.map(jnp.float32, WEIGHTS)

    @benchmark.jit
    def update(params, state, key):
        def loss(params):
            return objective.loss(params, batch, weights, key, jnp.int32(0))[0]

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    params = benchmark.jit(objective.init)(jax.random.key(0), batch)
    carry = [params, optimizer.init(params)]

    def step():
        carry[:] = jax.block_until_ready(update(*carry, jax.random.key(1)))

    return seconds(step)


def time_torch(args: argparse.Namespace, waveforms: np.ndarray) -> float:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
    from transformers.models.wav2vec2 import modeling_wav2vec2 as reference

    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = Wav2Vec2Config(
        hidden_size=args.dim, num_hidden_layers=2 * args.layers, num_attention_heads=args.heads,
        intermediate_size=4 * args.dim, conv_dim=(args.width,) * 7, layerdrop=0.0,
        num_conv_pos_embedding_groups=args.groups, num_codevectors_per_group=args.entries,
    )  # fmt: skip
    model = Wav2Vec2ForPreTraining(config).train().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    x = torch.tensor(waveforms.astype(np.float32) / 32_768, device=device)

    def step():
        shape = (args.batch, 99)
        masked = reference._compute_mask_indices(shape, 0.65, 10, min_masks=2)
        negatives = reference._sample_negative_indices(shape, 100, masked)
        optimizer.zero_grad()
        out = model(
            x,
            mask_time_indices=torch.tensor(masked, device=device),
            sampled_negative_indices=torch.tensor(negatives, device=device),
        )
        (out.loss / masked.sum()).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return seconds(step)


def main(args: argparse.Namespace) -> None:
    """Prints milliseconds a step."""
    rng = np.random.default_rng(0)
    shape = (args.batch, benchmark.SAMPLES)
    waveforms = rng.normal(scale=3_000, size=shape).astype(np.int16)
    theirs = time_torch(args, waveforms)
    print(f"transformers (PyTorch): {theirs * 1e3:.0f} ms a step of {args.batch} x 2 s", flush=True)
    figures = {}
    for context in ("base", "paper"):
        ours = time_jax(args, context, waveforms)
        figures[f"wav2vec 2.0 step, transformers' time over ours, context {context}"] = (
            theirs / ours
        )
        print(f"sersl_jax, {context}: {ours * 1e3:.0f} ms, {theirs / ours:.2f} x", flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures))
