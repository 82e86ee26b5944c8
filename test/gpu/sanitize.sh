#!/usr/bin/env bash
# compute-sanitizer over the kernels and over the main path, on a GPU: `npm run sanitize`, after a build with nvcc.
# Ends with status 1 when any of its tools found anything, or a result was wrong. Arguments go to every run of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CUDA_IPC_DRIVER=${CUDA_IPC_DRIVER:-libcuda}
# What a load keeps locked for the next one is no leak, but looks like one at the end of its process.
export CUDA_IPC_KEEP_STAGING=0

sanitizer=
for candidate in "$(command -v compute-sanitizer || true)" "${CUDA_HOME:-/usr/local/cuda}"/{bin,compute-sanitizer}/compute-sanitizer; do
  if [ -x "$candidate" ]; then
    sanitizer=$candidate
    break
  fi
done
if [ -z "$sanitizer" ]; then
  echo "sanitize: compute-sanitizer is neither in PATH nor in CUDA_HOME; it comes with the CUDA toolkit." >&2
  exit 2
fi

output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=()

# run WHAT OPTION...: every process that the tool has seen prints a summary, whatever the first one's exit status.
run() {
  local what=$1 status=0
  shift
  echo "== $what: ${*}"
  "$sanitizer" "$@" --error-exitcode 7 "${extra[@]}" node test/gpu/sanitize/program.cjs "$what" >"$output" 2>&1 || status=$?
  cat "$output"
  if [ "$status" -ne 0 ] || ! grep -q "SUMMARY:" "$output" ||
    grep -qE "(ERROR|LEAK) SUMMARY: [1-9]|RACECHECK SUMMARY: [1-9]" "$output"; then
    failed+=("$what ($*, exit status $status)")
  fi
}

extra=("$@")
for tool in memcheck racecheck initcheck synccheck; do
  leaks=()
  [ "$tool" = memcheck ] && leaks=(--leak-check full)
  run kernels --tool "$tool" "${leaks[@]}"
done
# Memory that another process has filled is uninitialized to initcheck: the main path is memcheck's.
for sharing in vmm ipc; do
  run "$sharing" --tool memcheck --leak-check full --target-processes all
done

if [ ${#failed[@]} -gt 0 ]; then
  printf 'sanitize: FAILED: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "sanitize: nothing found"
