#!/usr/bin/env bash
# Table 2: supervised, wav2vec 2.0 and our method on the same splits, then the comparison.
#
#   launch/table2.sh                                 # embedded corpus
#   SETTING=paper launch/table2.sh                   # MSP-Face and CREMA-D, 20 splits
#   launch/table2.sh --config.finetune.num_splits=2  # overrides go to every row
#
# Rows that are finished are not run again. RUNS names the folder of the runs [runs/table2].
set -euo pipefail
configs=$(dirname "$0")/../configs
runs=${RUNS:-runs/table2}

for row in supervised wav2vec2 ssl1; do
  python -m sersl_jax.main --config="$configs/$row.py${SETTING:+:$SETTING}" --workdir="$runs/$row" "$@"
done
python -m sersl_jax.compare "$runs"/{supervised,wav2vec2,ssl1}
