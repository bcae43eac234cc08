#!/usr/bin/env bash
# Table 2: supervised, wav2vec 2.0 and our method on the same splits, then the comparison.
#
#   launch/table2.sh                                 # embedded corpus
#   SETTING=paper launch/table2.sh                   # MSP-Face and CREMA-D, 20 splits
#   SETTING=paper BY=20 launch/table2.sh             # all splits of a row at once, on a GPU
#   launch/table2.sh --config.finetune.epochs=2      # overrides go to every row
#
# The table grows split by split (BY at a time, up to SPLITS): all rows have the first one before any
# has the second. Stop it when you like; the same command trains what is missing. Meanwhile
# `python -m sersl_jax.compare runs/table2/*/` shows the splits that all rows have.
# RUNS names the folder of the runs [runs/table2].
set -euo pipefail
configs=$(dirname "$0")/../configs
runs=${RUNS:-runs/table2}
python=${PYTHON:-python}
splits=${SPLITS:-$([[ ${SETTING:-} == paper ]] && echo 20 || echo 2)}
if [[ $* == *num_splits* ]]; then echo "give SPLITS=N, not num_splits" >&2 && exit 2; fi

# results.json holds a hash for each split that is done. The last number is always asked for: `main`
# returns at once where all is done, and refuses other settings.
has() { [[ $(grep -cs '"hash"' "$1/results.json") -ge $2 ]]; }

for ((n = 0; n < splits; )); do
  n=$((n + ${BY:-1} < splits ? n + ${BY:-1} : splits))
  for row in supervised wav2vec2 ssl1; do
    { ((n < splits)) && has "$runs/$row" $n; } || "$python" -m sersl_jax.main --config="$configs/$row.py${SETTING:+:$SETTING}" \
      --workdir="$runs/$row" "$@" --config.finetune.num_splits=$n
  done
done
"$python" -m sersl_jax.compare "$runs"/{supervised,wav2vec2,ssl1}
