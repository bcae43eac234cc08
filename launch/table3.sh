#!/usr/bin/env bash
# Table 3: the five combinations of pretext tasks, trained together, then the comparison.
#
#   launch/table3.sh                                 # embedded corpus
#   SETTING=paper launch/table3.sh                   # MSP-Face and CREMA-D, 20 splits
#   launch/table3.sh --config.finetune.num_splits=2  # overrides
#
# What is finished is not run again. RUNS names the folder of the runs [runs/table3].
set -euo pipefail
configs=$(dirname "$0")/../configs
runs=${RUNS:-runs/table3}

python -m sersl_jax.main --config="$configs/table3.py${SETTING:+:$SETTING}" --workdir="$runs" "$@"
python -m sersl_jax.compare --ours=ssl1 --out="$runs" "$runs"/ssl{1,2,3,4,5}
