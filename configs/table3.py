"""Table 3: all five ablations, pre-trained together as members of one program.

python -m sersl_jax.main --config=configs/table3.py
python -m sersl_jax.main --config=configs/table3.py:paper

The members differ in the weights of their tasks' losses alone. Each is a run of its own
afterwards, runs/table3/ssl1 ... ssl5:

python -m sersl_jax.compare --ours=ssl1 runs/table3/ssl*/
"""

from ml_collections import ConfigDict

from sersl_jax import methods


def get_config(argument: str = "demo") -> ConfigDict:
    config = methods.defaults(argument)
    config.name = "table3"
    config.pretrain.members = {
        method: dict.fromkeys(tasks, 1.0) for method, tasks in methods.PRETEXT_TASKS.items()
    }
    return config
