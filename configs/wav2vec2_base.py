"""Beside the paper: a published wav2vec 2.0 base model, fine-tuned in the same protocol.

python -m sersl_jax.main --config=configs/wav2vec2_base.py:paper \\
  --config.finetune.init_from=model.safetensors      # facebook/wav2vec2-base, or its kin; one GPU

Not a row of the paper, which pre-trains everything on the same recordings.
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    config = methods.defaults(argument)
    config.name = "wav2vec2_base"
    config.stages = ("finetune",)
    config.model.update({"embed": "waveform", "context": "base", "dim": 768, "num_layers": 12})
    config.model.update({"num_heads": 12, "ffn_dim": 3072})
    config.model.dropout.embedding = 0.1
    config.finetune.freeze = ("embed/extractor",)
    config.finetune.steps = 20 if argument == "demo" else 1_200
    return config
