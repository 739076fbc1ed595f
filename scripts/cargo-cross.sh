#!/usr/bin/env bash
# Runs cargo for one target, with the linker and the emulator of that target:
#
#   scripts/cargo-cross.sh TARGET COMMAND [ARGUMENTS…]
#   scripts/cargo-cross.sh armv7-unknown-linux-gnueabihf test -p ekiben-runtime
#
# Where rustup has the target (`rustup target add TARGET`), the ordinary toolchain compiles. Where it has not, Debian's does
# (scripts/install-cross.sh); for targets without a ready-made standard library, that is built from its source.
# Linux binaries are linked statically: they run on any distribution, and under qemu-user without a sysroot.
set -euo pipefail

usage() {
  echo "usage: scripts/cargo-cross.sh TARGET COMMAND [ARGUMENTS…]" >&2
  exit 2
}

[ $# -ge 2 ] || usage
target=$1 command=$2
shift 2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

static=-Ctarget-feature=+crt-static
std='' # crates to build where Debian has no standard library for the target
case $target in
  x86_64-unknown-linux-gnu) linker=gcc debian_linker=gcc flags=$static ;;
  aarch64-unknown-linux-gnu) linker=aarch64-linux-gnu-gcc debian_linker=$linker flags=$static std=std,panic_abort ;;
  armv7-unknown-linux-gnueabihf) linker=arm-linux-gnueabihf-gcc debian_linker=$linker flags=$static std=std,panic_abort ;;
  # rustup's toolchain brings rust-lld; Debian's does not.
  thumbv7em-none-eabihf | thumbv6m-none-eabi) linker=rust-lld debian_linker=arm-none-eabi-ld flags='' std=core ;;
  *)
    echo "cargo-cross: unknown target $target; known are x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu," \
      "armv7-unknown-linux-gnueabihf, thumbv7em-none-eabihf and thumbv6m-none-eabi" >&2
    exit 2
    ;;
esac

rustup_has_target() {
  command -v rustup >/dev/null && rustup target list --installed 2>/dev/null | grep -qx "$target"
}

cargo=(cargo "$command" --target "$target")
if ! rustup_has_target; then
  linker=$debian_linker
  [ -x /usr/bin/rustc ] || {
    echo "cargo-cross: no compiler for $target: run 'rustup target add $target' or, on Debian, scripts/install-cross.sh" >&2
    exit 1
  }
  export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
  # cargo's own clippy is that of the other toolchain.
  [ "$command" != clippy ] || cargo[0]=/usr/bin/cargo-clippy
  if [ -n "$std" ]; then
    export RUSTC_BOOTSTRAP=1 # -Zbuild-std is an unstable flag
    cargo+=("-Zbuild-std=$std")
  fi
fi

variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")
export "${variable}_LINKER=$linker" "${variable}_RUNNER=$root/scripts/run-on.sh $target"
[ -z "$flags" ] || export "${variable}_RUSTFLAGS=$flags" "${variable}_RUSTDOCFLAGS=$flags" # programs and documentation tests
exec "${cargo[@]}" "$@"
