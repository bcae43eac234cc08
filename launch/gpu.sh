#!/usr/bin/env bash
# What is to be shown on a GPU, in parts of ten minutes at most; give any of them again to go on.
#
#   launch/gpu.sh check        # goldens of the networks, and a training beside the CPU's
#   launch/gpu.sh benchmark    # a training step beside PyTorch's (pip install torch), eager and compiled
#   launch/gpu.sh train        # `supervised` on CREMA-D, SPLITS [20] splits in groups of BY [5]
#   launch/gpu.sh profile      # where an epoch's time goes, for TensorBoard or Perfetto
#
# What follows goes to the program: launch/gpu.sh train --config.finetune.source=/data/CREMA-D
# OUT is where results go [runs/gpu], LIMIT a part's seconds [570]. Paths are relative to the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${1:-}
shift || true
out=${OUT:-runs/gpu}
python=${PYTHON:-python}
limited() { timeout --foreground --signal=TERM --kill-after=20 "${LIMIT:-570}" "$python" -m "$@"; }
supervised() {
  limited sersl_jax.main --config=configs/supervised.py:paper "$@" || {
    local code=$?
    [[ $code != 124 && $code != 143 ]] || echo "not done yet: give the same command again" >&2
    return $code
  }
}

case $part in
  check) # without TF32: goldens are of float32
    JAX_DEFAULT_MATMUL_PRECISION=highest limited pytest -n 0 tests/models/test_ser.py \
      tests/models/test_wav2vec2.py tests/training/test_devices.py -k "equal or gpu" "$@" ;;
  benchmark)
    mkdir -p "$out"
    limited tests.benchmarks.train_step --compile --members=1,5,20 --dtypes=float32,bfloat16 \
      --json="$out/train_step.json" "$@" ;;
  train)
    supervised --workdir="$out/supervised" --config.finetune.num_splits="${SPLITS:-20}" \
      --config.finetune.parallel_members="${BY:-5}" --config.finetune.patience=5 "$@" ;;
  profile)
    supervised --workdir="$out/profile" --profile --config.finetune.num_splits=1 \
      --config.finetune.epochs=1 "$@" ;;
  *) echo "usage: launch/gpu.sh check|benchmark|train|profile" >&2 && exit 2 ;;
esac
