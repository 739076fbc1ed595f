#!/usr/bin/env bash
# Builds the device program for Linux devices and leaves static, stripped binaries in dist/:
#
#   scripts/build-device.sh [x86_64] [aarch64] [armv7]      (all three when none is named)
#
# dist/ekiben-edge-aarch64 runs on 64-bit Raspberry Pi OS and on Jetson, dist/ekiben-edge-armv7 on 32-bit Raspberry Pi OS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target_of() { # ARCHITECTURE
  case $1 in
    x86_64 | aarch64) echo "$1-unknown-linux-gnu" ;;
    armv7) echo armv7-unknown-linux-gnueabihf ;;
    *)
      echo "build-device: unknown architecture $1; known are x86_64, aarch64 and armv7" >&2
      return 2
      ;;
  esac
}

build_dir=${CARGO_TARGET_DIR:-target}
[ $# -gt 0 ] || set -- x86_64 aarch64 armv7
mkdir -p dist
for architecture; do
  target=$(target_of "$architecture")
  scripts/cargo-cross.sh "$target" build --locked --profile device -p ekiben-edge --bin ekiben-edge --target-dir "$build_dir"
  install -m 755 "$build_dir/$target/device/ekiben-edge" "dist/ekiben-edge-$architecture"
done
ls -l "${@/#/dist/ekiben-edge-}"
