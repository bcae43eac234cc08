"""What config files start from: all fields as a ConfigDict, and the methods of Table 3.

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
