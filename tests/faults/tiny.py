"""The smallest run that passes through all stages, saving whenever it can."""

from sersl_jax import methods


def get_config(data_dir: str):
    config = methods.self_supervised("ssl1")
    config.model.update(
        {"context": "none", "dim": 20, "num_heads": 2, "ffn_dim": 40, "num_layers": 1}
    )
    config.data.update({"data_dir": data_dir, "bucket": {"llds": 200, "waveform": 48_000}})
    config.checkpoint_seconds = 0.0
    config.pretrain.update({"dataset": "pretext/folder", "source": "", "epochs": 2})
    config.pretrain.batch_size = config.finetune.batch_size = 8
    config.finetune.update({"dataset": "speech/folder", "source": "", "epochs": 1})
    config.finetune.update({"num_splits": 2, "parallel_members": 1})
    return config
