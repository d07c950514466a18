#!/usr/bin/env bash
# Everything that needs a GPU, most valuable first, in nine minutes: the gpu tests, every suite, the sanitizers.
#
#   benchmarks/gpu_run.sh [FOLDER] [--device cuda|host] [--quick] [--seconds N]
#
# Uses the Python packages that are there (PYTHON names the interpreter) and no network. Each step has its own time limit; one that
# fails stops no other. FOLDER ($OUT unless given) gets four small files: steps.tsv, run.log, suites.jsonl, gpu_engine.json.
# `python benchmarks/record.py FOLDER` makes docs/evidence/<date>-<gpu>.md and .json of them. `--device host` lets the CPU stand in.
set -u
cd "$(dirname "$0")/.."

out=${OUT:-gpu_run} device=cuda quick=() total=530 each=0.4
while (($#)); do
  case $1 in
    --device) device=$2 && shift ;;
    --seconds) total=$2 && shift ;;
    --quick) quick=(--quick) each=0.01 ;;
    -*) echo "gpu_run.sh does not know $1" >&2 && exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
python=${PYTHON:-$(command -v python3 || command -v python)}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$out/run.log" && : >"$out/steps.tsv" && : >"$out/suites.jsonl"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 CUDAGRAPH_CACHE="${CUDAGRAPH_CACHE:-$work/cache}"

# name, time limit in seconds, command: runs it within what is left, and keeps the end of what it prints.
step() {
  local name=$1 limit=$2 begun=$SECONDS left=$((total - SECONDS)) status
  shift 2
  ((left < limit)) && limit=$left
  if ((limit < 5)); then
    printf '%s\tskipped\t0\t0\tno time was left\n' "$name" >>"$out/steps.tsv"
    return
  fi
  echo "== $name (at most $limit s)" | tee -a "$out/run.log"
  timeout -k 5 "$limit" "$@" >"$work/log" 2>&1
  status=$?
  tail -c 60000 "$work/log" >>"$out/run.log"
  cat "$work"/bench/*.json "$work"/compiled/*.json >"$out/suites.jsonl" 2>/dev/null
  printf '%s\t%d\t%d\t%d\t%s\n' "$name" "$status" "$((SECONDS - begun))" "$limit" "$(summary)" >>"$out/steps.tsv"
  tail -n 1 "$out/steps.tsv"
}

# The line that tells how it went: a test summary, a sanitizer's count, or simply the last one.
summary() {
  { grep -E '(passed|failed|error).* in [0-9.]+|ERROR SUMMARY|RACECHECK SUMMARY' "$work/log" || grep -v '^ *$' "$work/log"; } |
    tail -n 1 | tr '\t' ' ' | cut -c 1-200
}

bench() { # suite, time limit, more options, of which --out wins over this one
  step "bench $1" "$2" "$python" -m cudagraph bench "$1" --device "$device" --seconds "$each" --out "$work/bench" \
    "${quick[@]}" "${@:3}"
}

# Settings of its own, because the installed pytest may be older than the one that pyproject.toml asks for.
tests() { # name, time limit, folders: the gpu tests in them
  local ini="$work/pytest.ini" parallel=()
  printf '[pytest]\nmarkers =\n    gpu: needs a GPU\npythonpath = %s %s\naddopts = --import-mode=importlib\n' "$PWD" "$PWD/tests" >"$ini"
  "$python" -c 'import xdist' 2>/dev/null && parallel=(-n "$(($(nproc) < 12 ? $(nproc) : 12))")
  if [[ $device == cuda ]]; then
    step "$1" "$2" "$python" -m pytest -c "$ini" --rootdir . -m gpu -q --maxfail=50 -p no:cacheprovider \
      --continue-on-collection-errors "${parallel[@]}" "${@:3}"
  else
    step "$1" 60 "$python" -m pytest -c "$ini" --rootdir . -q -p no:cacheprovider tests/engine/behaviour/test_use.py
  fi
}

# Our kernels at small sizes and the demo, without the peers.
SMALL='import sys
sys.modules["torch"] = sys.modules["warp"] = None
from cudagraph.cli.app import app
for line in (["demo", "--device", sys.argv[1], "--particles", "2000", "--frames", "9", "--headless"],
             ["bench", "kernels", "--device", sys.argv[1], "--quick", "--seconds", "0"]):
    app(line, standalone_mode=False)
print("the small set ran")'

sanitizers() {
  local tool
  if [[ $device != cuda ]]; then
    step "host sanitizer" 60 env CUDAGRAPH_SANITIZE=1 "$python" -c "$SMALL" "$device"
  elif command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck; do
      step "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 20 "$python" -c "$SMALL" "$device"
    done
  else
    printf 'sanitizers\tskipped\t0\t0\tcompute-sanitizer is not installed\n' >>"$out/steps.tsv"
  fi
}

step doctor 30 "$python" -m cudagraph doctor
tests "gpu tests of the engine" 90 tests/engine tests/faults
tests "gpu tests of blocks" 160 tests/blocks
bench engine 70
step gpu_engine.py 60 "$python" benchmarks/gpu_engine.py --device "$device" --out "$out/gpu_engine.json" "${quick[@]}"
bench kernels 70 --no-compiled # which would take a minute more
bench geo_sparse 100 --no-compiled
bench models 80 --no-compiled # torch's compiler has its turn at the end
bench layers 60
bench particles 40
sanitizers
bench models 200 --out "$work/compiled"
echo "done in $SECONDS s: $out"
