#!/usr/bin/env bash
# Builds the fuzz targets with the stable compiler and runs each one.
#   scripts/fuzz.sh [SECONDS [TARGET ...]]     default: 60 seconds each, all targets
# Keeps interesting inputs in fuzz/corpus and failing inputs in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift || true
host=$(rustc -vV | sed -n 's/^host: //p')
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | grep -v '^runtraced-fuzz$')
fi

# Coverage counters for libFuzzer. An explicit --target keeps them out of build scripts.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
for target in "${targets[@]}"; do
  cargo build --release --target "$host" --bin "$target"
done
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  echo "== $target, $seconds s"
  "target/$host/release/$target" "corpus/$target" -max_total_time="$seconds" -rss_limit_mb=2048 \
    -artifact_prefix="artifacts/$target/" -print_final_stats=1
done
