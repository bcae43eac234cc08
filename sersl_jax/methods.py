"""What config files start from: all fields as a ConfigDict, the methods of Table 3, and `best`.

A config file of your own needs nothing else, so that it works wherever it lies.
"""

from dataclasses import asdict

from ml_collections import ConfigDict

from sersl_jax.config import Config

# The pretext tasks of each self-supervised method (Table 3, Sec. 5.1).
PRETEXT_TASKS = {
    "ssl1": ("energy", "upper_face", "lower_face", "action_units"),
    "ssl2": ("energy", "whole_face", "action_units"),
    "ssl3": ("energy", "upper_face", "lower_face"),
    "ssl4": ("upper_face", "lower_face", "action_units"),
    "ssl5": ("energy",),
}

_DEMO = {
    "data": {"bucket": {"llds": 64}},
    "pretrain": {
        "dataset": "pretext/synthetic",
        "epochs": 3,
        "optimizer": {"learning_rate": 3e-4},  # 12 steps an epoch, not 3,427
    },
    "finetune": {"dataset": "speech/synthetic", "epochs": 3, "num_splits": 2},
}

_BEST = {
    "name": "best",
    "stages": ("finetune",),
    "model": {
        "embed": "conv",
        "context": "none",
        "dim": 224,
        "num_heads": 4,
        "pooling": "statistics",
        "dropout": {"conv": 0.1, "head": 0.1},
    },
    "data": {"normaliser_clip": 4.0, "bucket": {"llds": 64}},
    "finetune": {
        "init_from": "",
        "epochs": 8,
        "batch_size": 16,
        "label_smoothing": 0.05,
        "ema_decay": 0.99,
        "optimizer": {
            "learning_rate": 7e-4,
            "schedule": "cosine",
            "warmup_share": 0.1,
            "clip_norm": 1.0,
            "beta2": 0.98,
            "weight_decay": 0.02,
        },
    },
}
# For other microphones and rooms: what the loudest frames alone say of the voice, on average.
_PORTABLE = {
    "name": "portable",
    "model": {
        "dim": 128,
        "pooling": "mean",
        "conv": {"kernels": (1,), "center": False, "descriptors": "voice", "loudest": 0.25},
    },
}
# 216 made-up clips to train on, not 5,166: chosen on the validation speakers of four splits.
_BEST_DEMO = {"finetune": {"epochs": 32, "augment": {"time_masks": 2, "llds_masks": 2}}}


def defaults(argument: str = "demo") -> ConfigDict:
    """Every field.

    `paper` is the paper's setting: MSP-Face for pre-training, CREMA-D for emotion recognition.
    `demo` trains the same network on the embedded corpus, with fewer epochs. Raises ValueError for
    another argument.
    """
    if argument not in ("demo", "paper"):
        raise ValueError(f"config argument {argument!r} is neither demo nor paper")
    config = ConfigDict(asdict(Config()))
    if argument == "demo":
        config.update(_DEMO)
    return config


def self_supervised(name: str, argument: str = "demo") -> ConfigDict:
    """A method of Table 3: pre-trained on its pretext tasks, each with weight 1."""
    config = defaults(argument)
    members = {name: dict.fromkeys(PRETEXT_TASKS[name], 1.0)}
    config.update({"name": name, "pretrain": {"members": members}})
    return config


def best(argument: str = "demo") -> ConfigDict:
    """The recipe that recognises emotions best, and the network of the model in the package."""
    config = defaults(argument)
    config.update(_BEST)
    if argument == "demo":
        config.update(_BEST_DEMO)
    return config


def portable(argument: str = "demo") -> ConfigDict:
    """A small network for recordings unlike the training corpus's."""
    config = best(argument)
    config.update(_PORTABLE)
    return config
