#!/usr/bin/env bash
# Builds the device program and checks that it answers on emulated devices as it does on this machine: `self-test`, `score`,
# `bench --json` and `serve`.
#
#   scripts/test-devices.sh [aarch64] [armv7]      (both when none is named)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BENTO=tests/fixtures/bentos/v013_sklearn_iris_rf
readonly NETWORK=tests/fixtures/tflite/ds_cnn_int8/model.tflite
readonly BENCH_KEYS='arena_bytes artifact_bytes batch first_ms load_ms median_us n out rss_kb threads'

target_of() { # ARCHITECTURE
  case $1 in
    armv7) echo armv7-unknown-linux-gnueabihf ;;
    *) echo "$1-unknown-linux-gnu" ;;
  esac
}

edge() { # ARCHITECTURE ARGUMENTS…
  local architecture=$1
  shift
  scripts/run-on.sh "$(target_of "$architecture")" "dist/ekiben-edge-$architecture" "$@"
}

answers() { # ARCHITECTURE: everything that must not depend on it
  local artifact measured
  for artifact in "$scratch"/*.ekb; do
    echo "== $(basename "$artifact")"
    edge "$1" self-test "$artifact"
    measured=$(edge "$1" bench --json "$artifact")
    [ "$(grep -o '"[a-z_]*":' <<<"$measured" | tr -d '":' | sort | paste -sd' ')" = "$BENCH_KEYS" ] || {
      echo "test-devices: bench --json has other keys on $1: $measured" >&2
      return 1
    }
    sed 's/.*"arena_bytes":\([0-9]*\).*"out":\(\[[^]]*\]\).*/arena \1, first outputs \2/' <<<"$measured"
  done
  edge "$1" score "$scratch/iris.ekb" $BENTO/inputs/rows.csv
  served "$1"
}

served() { # ARCHITECTURE: what the server answers
  local port=$((20000 + RANDOM % 10000)) body='[[5.1, 3.5, 1.4, 0.2], [6.3, 3.4, 6.0, 2.5]]' answer
  # Not by a function: the process to be killed must be the program itself.
  scripts/run-on.sh "$(target_of "$1")" "dist/ekiben-edge-$1" serve "$scratch/iris.ekb" --addr "127.0.0.1:$port" >/dev/null 2>&1 &
  server=$!
  for _ in $(seq 200); do
    { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null && break
    sleep 0.1
  done
  printf 'POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' ${#body} "$body" >&3
  answer=$(tail -n 1 <&3)
  exec 3>&-
  kill "$server"
  wait "$server" || true
  echo "served: $answer"
}

[ $# -gt 0 ] || set -- aarch64 armv7
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
scripts/build-device.sh x86_64 "$@"
cargo run --locked -q -p ekiben -- compile $BENTO/bundle -o "$scratch/iris.ekb" >/dev/null
cargo run --locked -q -p ekiben -- compile $NETWORK -o "$scratch/network.ekb" >/dev/null
answers x86_64 | tee "$scratch/expected"
for architecture; do
  answers "$architecture" >"$scratch/actual"
  diff "$scratch/expected" "$scratch/actual" || {
    echo "test-devices: $architecture answers otherwise than this machine" >&2
    exit 1
  }
  echo "test-devices: $architecture answers as this machine does"
done
