#!/usr/bin/env bash
# Table 3: the five combinations of pretext tasks, trained together, then the comparison.
#
#   launch/table3.sh                                 # embedded corpus
#   SETTING=paper launch/table3.sh                   # MSP-Face and CREMA-D, 20 splits
#   SETTING=paper BY=20 launch/table3.sh             # all splits of a method at once, on a GPU
#   launch/table3.sh --config.finetune.epochs=2      # overrides
#
# The table grows split by split (BY at a time, up to SPLITS): all methods have the first one before
# any has the second. Stop it when you like; the same command trains what is missing. Meanwhile
# `python -m sersl_jax.compare --ours=ssl1 runs/table3/ssl*/` shows the splits that all have.
# RUNS names the folder of the runs [runs/table3].
set -euo pipefail
configs=$(dirname "$0")/../configs
runs=${RUNS:-runs/table3}
python=${PYTHON:-python}
splits=${SPLITS:-$([[ ${SETTING:-} == paper ]] && echo 20 || echo 2)}
if [[ $* == *num_splits* ]]; then echo "give SPLITS=N, not num_splits" >&2 && exit 2; fi

# results.json holds a hash for each split that is done; ssl5 is the last of the five. The last number
# is always asked for: `main` returns at once where all is done, and refuses other settings.
has() { [[ $(grep -cs '"hash"' "$runs/ssl5/results.json") -ge $1 ]]; }

for ((n = 0; n < splits; )); do
  n=$((n + ${BY:-1} < splits ? n + ${BY:-1} : splits))
  { ((n < splits)) && has $n; } || "$python" -m sersl_jax.main --config="$configs/table3.py${SETTING:+:$SETTING}" \
    --workdir="$runs" "$@" --config.finetune.num_splits=$n
done
"$python" -m sersl_jax.compare --ours=ssl1 --out="$runs" "$runs"/ssl{1,2,3,4,5}
