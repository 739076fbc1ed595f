#!/usr/bin/env bash
# Installs, on Debian 12 and as root, what it takes to build for ARM and to run the result on an x86-64 machine: cross
# compilers, emulators, Python's venv, and Debian's own Rust with its source and linter, for machines where rustup cannot
# add targets (scripts/cargo-cross.sh chooses between the two).
# Only what is missing is installed; with everything there it does nothing and needs neither root nor a network.
set -euo pipefail

readonly TRIES=7

packages=(
  gcc libc6-dev                                    # x86-64 binaries and build scripts
  gcc-aarch64-linux-gnu libc6-dev-arm64-cross      # aarch64 Linux
  gcc-arm-linux-gnueabihf libc6-dev-armhf-cross    # armv7 Linux
  gcc-arm-none-eabi libnewlib-arm-none-eabi        # Cortex-M
  qemu-user qemu-system-arm                        # their emulators
  rustc-web rust-web-clippy
  rust-web-src                                     # the ARM targets' standard library is built from it
  python3-venv                                     # the conformance cases' generator
)

installed() { # PACKAGE[:ARCH]
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

retry() { # COMMAND...: a mirror that is being synchronised fails for some minutes
  local try wait
  for ((try = 1; ; try++)); do
    "$@" && return
    ((try < TRIES)) || return 1
    wait=$((5 << try))
    echo "install-cross: '$*' failed, try $((try + 1)) of $TRIES in $wait s" >&2
    sleep "$wait"
  done
}

# A list that could not be fetched is harmless when every missing package can be resolved without it.
refresh_lists() {
  apt-get update -q || true
  apt-get install -q -y --no-install-recommends --simulate "${missing[@]}" >/dev/null
}

command -v dpkg-query >/dev/null || {
  echo "install-cross: this script knows Debian only; elsewhere install the like of: ${packages[*]}" >&2
  exit 1
}
missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "install-cross: everything is installed"
  exit 0
fi

echo "install-cross: missing ${missing[*]}"
[ "$(id -u)" -eq 0 ] || {
  echo "install-cross: run as root to install them" >&2
  exit 1
}
export DEBIAN_FRONTEND=noninteractive
retry refresh_lists
retry apt-get install -q -y --no-install-recommends "${missing[@]}"
