"""Does wav2vec 2.0 train, and how fast: `python -m tests.benchmarks.wav2vec2 --help`.

`train` pre-trains reduced networks on 20 minutes of CREMA-D (`SERSL_SHARED_DATA`, or
../shared/data), every seed from scratch, and prints held-out contrastive accuracy beside chance and
the perplexity of both codebooks. `speed` times a training step beside `transformers`' (PyTorch,
which must be installed); for the base model's convolutions: `speed --width=512 --layers=6 --dim=768
--heads=12 --batch=1`.
"""

import argparse
import os
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from sersl_jax.features import audio, segments
from sersl_jax.models.transformer import Encoder
from sersl_jax.models.wav2vec2 import WaveformEmbedding
from sersl_jax.models.wav2vec2_base import BaseContext
from sersl_jax.models.wav2vec2_pretrain import ContrastiveHead, PretrainNet
from sersl_jax.training.objectives_wav2vec2 import WEIGHTS, Wav2Vec2, collapse_warning

SAMPLES = 32_000  # 2 s
FLOAT32 = jnp.dtype("float32")
DROPOUT = {"embedding": 0.25, "output": 0.0, "residual": 0.1, "attention": 0.1, "ffn": 0.1}
CPU = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
jit = partial(jax.jit, compiler_options=CPU if jax.default_backend() == "cpu" else None)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("what", choices=("train", "speed"))
    parser.add_argument("--json", type=Path, help="speed: writes the ratios here")
    parser.add_argument("--width", type=int, default=32, help="channels of the convolutions")
    parser.add_argument("--layers", type=int, default=1, help="in each of the two stacks")
    parser.add_argument("--dim", type=int, default=64, help="of the encoder")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--groups", type=int, default=16, help="of the positional convolution")
    parser.add_argument("--batch", type=int, default=8, help="segments of 2 s")
    parser.add_argument("--minutes", type=float, default=20.0, help="of speech to train on")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.999995, help="of the Gumbel temperature")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--gradient_scale", type=float, default=0.1)
    parser.add_argument("--diversity", type=float, default=WEIGHTS["diversity"])
    parser.add_argument("--penalty", type=float, default=WEIGHTS["features"])
    parser.add_argument("--embedding_dropout", type=float, default=0.1)
    parser.add_argument("--entries", type=int, default=320)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=200, help="steps between printed lines")
    parser.add_argument("--curves", help="picture (.svg, .png) to draw of all seeds")
    return parser.parse_args()


def read_segments(minutes: float) -> tuple[np.ndarray, np.ndarray]:
    """Segments of training speakers and of others, as many a clip as fit; int16."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("SERSL_SHARED_DATA", default)) / "crema_d" / "AudioOpus"
    paths = sorted(folder.glob("*.opus"))
    if not paths:
        raise SystemExit(f"{folder} holds no clips: set SERSL_SHARED_DATA")
    number = round(minutes * 30)
    train, validation = [], []
    for path in paths[:: max(len(paths) // int(1.2 * number), 1)]:
        waveform = audio.read(path)
        for start, end in segments.windows(waveform.size / audio.SAMPLE_RATE):
            piece = waveform[round(start * 16_000) : round(end * 16_000)] * 32_767
            side = validation if int(path.name[:4]) % 10 == 0 else train
            side.append(np.round(piece).astype(np.int16))
    return np.stack(train[:number]), np.stack(validation[: len(validation) // 32 * 32])


def create_objective(args: argparse.Namespace, context: str = "paper") -> Wav2Vec2:
    dropout = DROPOUT | {"embedding": args.embedding_dropout}
    sizes = {"num_heads": args.heads, "ffn_dim": 4 * args.dim, "dropout": dropout, "dtype": FLOAT32}
    if context == "paper":
        encoder = Encoder(
            args.layers, residual="free", alpha_init="uniform", causal=False, embed_scale=True,
            positions="sinusoidal", **sizes,
        )  # fmt: skip
    else:
        encoder = BaseContext(2 * args.layers, positions_groups=args.groups, **sizes)
    embed = WaveformEmbedding(args.dim, (args.width,) * 7, args.gradient_scale, 0.1, FLOAT32)
    head = ContrastiveHead(args.dim, 2, args.entries, 256, 256, 0.1)
    temperature = (args.temperature, 0.5, args.decay)
    return Wav2Vec2(PretrainNet(embed, encoder, head), 0.065, 10, 2, 100, temperature)


def as_batch(waveforms: jax.Array) -> dict[str, jax.Array]:
    rows = waveforms.shape[0]
    return {
        "inputs": waveforms.astype(jnp.float32) / 32_768,
        "lengths": jnp.full((rows,), SAMPLES),
        "mask": jnp.ones((rows,), bool),
    }


def pretrain(
    args: argparse.Namespace, seed: int, train: jax.Array, validation: jax.Array
) -> dict[int, dict[str, float]]:
    """Held-out metrics after every `args.every` steps."""
    objective = create_objective(args)
    weights = {"contrastive": 1.0, "diversity": args.diversity, "features": args.penalty}
    schedule = optax.warmup_constant_schedule(0.0, args.learning_rate, args.warmup)
    optimizer = optax.adamw(schedule, b1=0.9, b2=0.98, eps=1e-6, weight_decay=0.01)
    root = jax.random.key(seed)
    params = jit(objective.init)(root, as_batch(train[: args.batch]))

    @partial(jit, donate_argnums=(0, 1))
    def step(params, state, number):
        key = jax.random.fold_in(root, number)
        rows = jax.random.choice(key, len(train), (args.batch,), replace=False)
        loss = partial(objective.loss, batch=as_batch(train[rows]), weights=weights)
        (_, metrics), gradient = jax.value_and_grad(
            lambda p: loss(p, key=key, step=number)[:2], has_aux=True
        )(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, metrics

    evaluate = jit(lambda p, x: objective.loss(p, as_batch(x), weights, None, jnp.int32(0))[1])
    state, start, trained, curve = optimizer.init(params), time.perf_counter(), [], {}
    for number in range(1, args.steps + 1):
        params, state, metrics = step(params, state, jnp.int32(number - 1))
        trained.append(metrics)
        if number % args.every == 0:
            pieces = np.split(validation, len(validation) // 32)
            curve[number] = means([evaluate(params, piece) for piece in pieces])
            report(seed, number, means(trained), curve[number], time.perf_counter() - start)
            trained = []
    if curve and (warning := collapse_warning(curve[max(curve)], args.entries)):
        print(warning)
    return curve


def means(batches: list[dict]) -> dict[str, float]:
    metrics = jax.tree.map(lambda *x: np.stack(x), *batches)
    return {n: float(np.sum(t) / max(np.sum(c), 1)) for n, (t, c) in metrics.items()}


def report(seed: int, step: int, train: dict, held_out: dict, seconds: float) -> None:
    names = ("codebook_perplexity_1", "codebook_perplexity_2")
    print(
        f"seed {seed} step {step:5d}: train contrastive {train['loss_contrastive']:.3f} "
        f"accuracy {train['accuracy_contrastive']:.3f} | held out "
        f"contrastive {held_out['loss_contrastive']:.3f} "
        f"accuracy {held_out['accuracy_contrastive']:.3f} "
        f"(chance {held_out['chance_contrastive']:.3f}) "
        f"perplexity {' '.join(f'{held_out[n]:.0f}' for n in names)} "
        f"diversity {held_out['loss_diversity']:.2f} penalty {held_out['loss_features']:.3f} | "
        f"{seconds:.0f} s",
        flush=True,
    )


def draw(path: str, curves: list[dict[int, dict[str, float]]], entries: int) -> None:
    """Contrastive accuracy and perplexity of every seed over steps; dashed: chance, a fifth."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for seed, curve in enumerate(curves):
        for axes, name, style in (
            (left, "accuracy_contrastive", "-"),
            (right, "codebook_perplexity_1", "-"),
            (right, "codebook_perplexity_2", ":"),
        ):
            label = f"seed {seed}" if style == "-" else None
            values = [found[name] for found in curve.values()]
            axes.plot(list(curve), values, style, color=f"C{seed}", label=label)
    chances = [[found["chance_contrastive"] for found in curve.values()] for curve in curves]
    left.plot(list(curves[0]), np.mean(chances, axis=0), "k--", linewidth=0.8, label="chance")
    right.axhline(0.2 * entries, color="k", linestyle="--", linewidth=0.8)
    left.set(xlabel="step", ylabel="held-out contrastive accuracy", ylim=(0, None))
    right.set(xlabel="step", ylabel=f"perplexity of {entries} entries", ylim=(0, entries))
    left.legend()
    figure.savefig(path)


def main() -> None:
    args = parse()
    if args.what == "speed":
        from tests.benchmarks import wav2vec2_speed

        return wav2vec2_speed.main(args)
    train, validation = read_segments(args.minutes)
    print(
        f"{len(train)} segments ({len(train) / 30:.1f} min) to train on, {len(validation)} held out"
    )
    arrays = jnp.asarray(train), jnp.asarray(validation)
    curves = [pretrain(args, seed, *arrays) for seed in range(args.seeds)]
    if args.curves:
        draw(args.curves, curves, args.entries)


if __name__ == "__main__":
    main()
