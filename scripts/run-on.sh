#!/usr/bin/env bash
# Runs a program built for a target, under its emulator where the machine at hand is another one; cargo's runner in
# scripts/cargo-cross.sh:
#
#   scripts/run-on.sh TARGET PROGRAM [ARGUMENTS…]
#
# Linux programs are expected to be static. QEMU_CPU names another CPU model (`qemu-aarch64 -cpu help` lists them).
# Cortex-M programs run on QEMU's mps2-an386 board (Cortex-M4F), those for a Cortex-M0 on its mps2-an385 (whose Cortex-M3 knows all
# instructions of an M0), with semihosting: they print, read their command line, read and write the host's files, and exit with a
# status. One instruction takes one virtual nanosecond, whatever the host.
set -euo pipefail

[ $# -ge 2 ] || {
  echo "usage: scripts/run-on.sh TARGET PROGRAM [ARGUMENTS…]" >&2
  exit 2
}
target=$1 program=$2
shift 2

cortex_m() { # BOARD ARGUMENTS…
  local board=$1 argument semihosting=enable=on,target=native,arg=$(basename "$program")
  shift
  for argument; do
    semihosting+=,arg=${argument//,/,,} # a comma ends a QEMU option, two are one
  done
  exec qemu-system-arm -M "$board" -nographic -monitor none -serial none -icount shift=0 \
    -semihosting-config "$semihosting" -kernel "$program"
}

case $target in
  "$(uname -m)"-unknown-linux-*) exec "$program" "$@" ;;
  aarch64-unknown-linux-*) exec qemu-aarch64 "$program" "$@" ;;
  armv7-unknown-linux-*) exec qemu-arm "$program" "$@" ;;
  thumbv7em-none-eabihf) cortex_m mps2-an386 "$@" ;;
  thumbv6m-none-eabi) cortex_m mps2-an385 "$@" ;;
  *)
    echo "run-on: no emulator known for $target" >&2
    exit 2
    ;;
esac
