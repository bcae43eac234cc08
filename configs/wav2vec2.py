"""Table 2, wav2vec 2.0: pre-trained from scratch on the same recordings' waveforms.

python -m sersl_jax.main --config=configs/wav2vec2.py          # embedded corpus, narrow convs
python -m sersl_jax.main --config=configs/wav2vec2.py:paper    # 400k steps, one GPU

The paper: 55.3 54.5 53.3 / 54.3 (macro precision, recall, F1 / micro).
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    config = methods.defaults(argument)
    demo = argument == "demo"
    config.name = "wav2vec2"
    config.model.embed = "waveform"
    # The stack sees noise-free features: the embedding's dropout is wav2vec 2.0's own.
    config.model.dropout.embedding = 0.1
    if demo:
        config.model.wav2vec2.conv_widths = (32,) * 7
    config.pretrain.objective = "wav2vec2"
    config.pretrain.members = {"wav2vec2": {"contrastive": 1.0, "diversity": 0.1, "features": 10.0}}
    config.pretrain.steps = 60 if demo else 400_000  # Sec. 4.3
    config.pretrain.optimizer.update(
        {
            "schedule": "linear",
            "learning_rate": 5e-4,
            "warmup_steps": 20 if demo else 32_000,
            "clip_norm": 0.0,
            "beta2": 0.98,
            "eps": 1e-6,
            "weight_decay": 0.01,
        }
    )
    config.finetune.freeze = ("embed/extractor",)
    config.finetune.steps = 20 if demo else 1_200  # Sec. 4.3
    return config
