"""The recipe that recognises emotions best (docs/results.md): convolutions before attention.

python -m sersl_jax.main --config=configs/best.py         # embedded corpus
python -m sersl_jax.main --config=configs/best.py:paper   # CREMA-D, the paper's protocol and label
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    config = methods.defaults(argument)
    config.name = "best"
    config.stages = ("finetune",)
    config.model.update({"embed": "conv", "dim": 128, "num_layers": 1, "num_heads": 4})
    config.model.update({"ffn_dim": 256, "residual": "plain", "positions": "none"})
    config.model.update({"embed_scale": False, "pooling": "statistics"})
    config.model.dropout.update({"conv": 0.1, "embedding": 0.0, "head": 0.1})
    config.model.dropout.update({"residual": 0.05, "attention": 0.05, "ffn": 0.05})
    config.data.normaliser_clip = 4.0
    config.data.bucket.llds = 64
    config.finetune.update({"init_from": "", "epochs": 8, "batch_size": 16})
    config.finetune.update({"label_smoothing": 0.05, "ema_decay": 0.99, "select": "macro_f1"})
    config.finetune.optimizer.update({"learning_rate": 7e-4, "schedule": "cosine"})
    config.finetune.optimizer.update({"warmup_share": 0.1, "clip_norm": 1.0, "beta2": 0.98})
    config.finetune.optimizer.weight_decay = 0.02
    return config
