#!/usr/bin/env bash
# Runs the tests that need an emulator (scripts/install-cross.sh installs them):
#
#   scripts/test-emulated.sh [aarch64] [armv7] [cortex-m4] [cortex-m0]      (all when none is named)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

linux() { # TARGET: the runtime's own tests, on that instruction set
  scripts/cargo-cross.sh "$1" test --locked -p ekiben-runtime --features std
}

cortex_m4() { # the board support that programs for the emulated board stand on, and the examples
  local scratch
  scratch=$(mktemp)
  scripts/cargo-cross.sh thumbv7em-none-eabihf run --locked --release --manifest-path targets/firmware/Cargo.toml \
    -p ekiben-qemu --bin board-check -- "$scratch"
  rm "$scratch"
  examples/firmware/run.sh
}

# Without a floating-point unit everything takes long: forests, which this processor gets, and no more.
cortex_m0() {
  EKIBEN_BACKENDS=cortex-m0 cargo test --locked -p ekiben-tests --test backends -- forests
}

conformance() { # BACKEND: artifacts give there what they give here
  EKIBEN_BACKENDS=$1 cargo test --locked -p ekiben-tests --test backends
}

[ $# -gt 0 ] || set -- aarch64 armv7 cortex-m4 cortex-m0
for backend; do
  case $backend in
    aarch64) linux aarch64-unknown-linux-gnu ;;
    armv7) linux armv7-unknown-linux-gnueabihf ;;
    cortex-m4) cortex_m4 ;;
    cortex-m0)
      cortex_m0
      continue
      ;;
    *)
      echo "test-emulated: unknown backend $backend; known are aarch64, armv7, cortex-m4 and cortex-m0" >&2
      exit 2
      ;;
  esac
  conformance "$backend"
done
