"""Every field of a run, with the paper's value and section; the other configs are small diffs.

`demo` (the default argument) trains the paper's network on the embedded corpus, with fewer epochs.
`paper` is the paper's setting: MSP-Face for pre-training, CREMA-D for emotion recognition; name
your copies with --config.pretrain.source=... and --config.finetune.source=..., or prepare them
once with `python -m sersl_jax.prepare`.
"""

from ml_collections import ConfigDict


def get_config(argument: str = "demo") -> ConfigDict:
    """The fields that all rows share. Raises ValueError for an unknown argument."""
    if argument not in ("demo", "paper"):
        raise ValueError(f"config argument {argument!r} is neither demo nor paper")
    demo = argument == "demo"
    config = ConfigDict()
    config.name = ""
    config.setting = argument
    config.seed = 0
    config.stages = ("pretrain", "finetune")
    config.dtype = "float32"  # of products; bfloat16 keeps parameters, softmax, loss in float32
    config.profile = False  # --profile: a trace of one dispatch of each training
    config.checkpoint_seconds = 60.0  # at most this much work is lost

    config.model = ConfigDict(
        {
            "embed": "llds",  # llds | waveform (wav2vec 2.0's convolutions)
            "context": "paper",  # paper: both stacks | base: wav2vec 2.0's own (published weights)
            "input_projection": True,  # Eq. 1's E
            "embed_scale": True,  # x sqrt(130) on entering each stack
            "positions": "sinusoidal",  # sinusoidal | none, first stack only (Eq. 1)
            "dim": 130,  # Sec. 4.2
            "num_layers": 5,  # a stack (Sec. 4.3)
            "num_heads": 10,  # Sec. 4.3
            "ffn_dim": 520,
            "residual": "free",  # free: alpha and beta (Sec. 3.4) | tied: beta = 1 - alpha | plain
            "causal": False,  # "accepts input sequences in parallel" (Sec. 3.4)
            "pooling": "mean",  # mean | last
            "dropout": {
                "embedding": 0.25,  # Sec. 4.3
                "residual": 0.1,  # Sec. 4.3
                "attention": 0.1,
                "ffn": 0.1,
                "head": 0.2,
            },
            # wav2vec 2.0 (Sec. 4.3; fairseq's base model); used where embed is "waveform".
            "wav2vec2": {
                "conv_widths": (512,) * 7,
                "gradient_scale": 0.1,  # of the gradient into the convolutions
                "groups": 2,
                "entries": 320,  # of each group's codebook
                "code_dim": 256,  # of both groups' entries side by side
                "contrast_dim": 256,  # where predictions meet codes
                "mask_probability": 0.065,  # that a span starts at a frame
                "mask_length": 10,  # frames
                "min_spans": 2,
                "num_negatives": 100,
                "temperature": (2.0, 0.5, 0.999995),  # first, last, decay a step
            },
        }
    )

    config.data = ConfigDict(
        {
            "data_dir": "",  # prepared datasets; "": $SERSL_DATA_DIR or the user's cache folder
            "residency": "auto",  # device: corpus on the device | stream: from disk | auto: by size
            "bucket": {"llds": 64 if demo else 32, "waveform": 16_000},  # lengths are rounded up
            "normaliser_clip": 0.0,  # clip z-normalised LLDs to +- this; 0: not (the paper)
            "dtype": "float32",  # of the LLDs kept on the device: float32 | bfloat16
            "steps_per_dispatch": 0,  # 0: 1 on CPU, 64 elsewhere
            "pitch_window": 0.060,  # s; 0.032 is the literal reading of Sec. 4.2
        }
    )

    # Adam, clipped; plateau: x 0.1 after 5 epochs without a better validation loss (Sec. 4.3).
    optimizer = {
        "learning_rate": 7.25e-4,
        "schedule": "plateau",  # plateau | linear (warm-up, then down to 0)
        "warmup_steps": 0,
        "plateau_factor": 0.1,
        "plateau_patience": 5,
        "plateau_threshold": 1e-4,
        "clip_norm": 0.8,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
    }

    config.pretrain = ConfigDict(
        {
            "dataset": "pretext/synthetic" if demo else "pretext/msp_face",
            "source": "",  # raw corpus; "": prepared already (or embedded)
            "objective": "multitask",  # multitask | wav2vec2
            "members": {},  # {row's name: weight of each task's loss, else 0}; one training a row
            "validation_fraction": 0.1,  # of the speakers
            "epochs": 3 if demo else 300,  # Sec. 4.3
            "steps": 0,  # 0: by epochs; else of the member with most batches
            "batch_size": 32,  # Sec. 4.3
            "optimizer": {**optimizer, "learning_rate": 3e-4 if demo else 1e-4},  # Sec. 4.3: 1e-4
        }
    )

    config.finetune = ConfigDict(
        {
            "dataset": "speech/synthetic" if demo else "speech/crema_d",
            "source": "",
            # pretrain: this run's | "": from scratch | a run's directory | a .safetensors of the
            "init_from": "pretrain",  # published wav2vec 2.0 (configs/wav2vec2_base.py)
            "freeze": (),  # parameter paths that stay as they are: ("embed", "encoder")
            "label": {
                "source": "multimodal",  # multimodal | voice | face | intended
                "targets": "plurality",  # plurality | soft
                "ties": "random",  # random | drop
                "seed": 0,
            },
            "protocol": "paper",  # paper | emosuperb | hicmae | leave_one_speaker_out | a .json
            "num_splits": 2 if demo else 20,  # Sec. 5
            "allow_speaker_overlap": False,  # to reproduce others' numbers; stamped on all outputs
            "parallel_members": 0,  # splits trained at once; 0: by memory (on CPU: cores)
            "epochs": 3 if demo else 5,  # Sec. 4.3
            "steps": 0,
            "batch_size": 32,
            "optimizer": optimizer,
        }
    )
    return config


def pretext(config: ConfigDict, name: str, tasks: tuple[str, ...]) -> ConfigDict:
    """A row of Table 3: pre-trained on `tasks`, each with weight 1."""
    config.name = name
    config.pretrain.members = {name: dict.fromkeys(tasks, 1.0)}
    return config
