#!/usr/bin/env bash
# Several processes on one machine, a GPU each:
#   PROCESSES=2 launch/local_multiprocess.sh --config=configs/ssl1.py --workdir=runs/ssl1
# Without GPUs it splits nothing but shows that the program runs as it will on a cluster.
set -euo pipefail
PROCESSES=${PROCESSES:-2}
PYTHON=${PYTHON:-python}
export SERSL_COORDINATOR=${SERSL_COORDINATOR:-localhost:$((20000 + RANDOM % 20000))}
export SERSL_PROCESSES=$PROCESSES
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
for ((rank = PROCESSES - 1; rank >= 0; rank--)); do
  JAX_LOCAL_DEVICE_IDS=$rank SERSL_PROCESS=$rank "$PYTHON" -m sersl_jax.main "$@" &
done
for ((rank = 0; rank < PROCESSES; rank++)); do wait -n; done  # the first that fails ends all
