"""`best` with what CREMA-D knows beside its emotions: raters' votes, sentence and sex as helpers.

python -m sersl_jax.main --config=configs/best_crema_d.py:paper   # the model in the package
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    config = methods.best(argument)
    config.name = "best_crema_d"
    if argument == "paper":  # the embedded corpus knows none of this
        votes = {"votes_multimodal": 0.5, "votes_voice": 0.5}
        config.finetune.helpers = {**votes, "sentence": 0.5, "sex": 0.5}
    return config
