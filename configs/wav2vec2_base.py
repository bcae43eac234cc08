"""Beside the paper: a published wav2vec 2.0 base model, fine-tuned in the same protocol.

python -m sersl_jax.main --config=configs/wav2vec2_base.py:paper \\
  --config.finetune.init_from=model.safetensors      # facebook/wav2vec2-base, or its kin; one GPU

Not a row of the paper, which pre-trains everything on the same recordings.
"""

from ml_collections import ConfigDict

from configs import wav2vec2


def get_config(argument: str = "demo") -> ConfigDict:
    config = wav2vec2.get_config(argument)
    config.name = "wav2vec2_base"
    config.stages = ("finetune",)
    config.pretrain.members = {}
    config.model.update({"context": "base", "dim": 768, "num_layers": 12, "num_heads": 12})
    config.model.update({"ffn_dim": 3072})
    config.model.wav2vec2.conv_widths = (512,) * 7
    return config
