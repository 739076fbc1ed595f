#!/usr/bin/env bash
# Measures the code of a firmware without operators, and what each operator adds to it, on a Cortex-M4F, for the table that
# `ekiben compile --target` reads:
#
#   scripts/measure-code.sh >bundle-tool/src/target/code_size.tsv
#
# An operator's figure holds what it shares with others, so a sum over operators is an upper bound. scripts/install-cross.sh
# installs what it takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly DEVICE=thumbv7em-none-eabihf
readonly BUILD=${CARGO_TARGET_DIR:-$PWD/target}
readonly LIBRARY=$BUILD/$DEVICE/device/libekiben_firmware.a

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flash_bytes() { # [OPERATOR]: of a program that opens an artifact, tests it and runs it with this operator, or with none
  local declared='' listed='0'
  [ $# -eq 0 ] || declared="extern const ekiben_op ekiben_op_$1;" listed="&ekiben_op_$1"
  cat >"$work/main.c" <<EOF
#include "ekiben.h"
$declared
static const ekiben_op *const operators[] = {$listed};
static const ekiben_kernels kernels = {operators, $#};
extern unsigned char arena[], model[];
static ekiben_session session;
int main(void) {
  void *input;
  const void *output;
  unsigned tested;
  return ekiben_open(&session, model, 1, 0, 1, arena, 1, &kernels) | ekiben_self_test(&session, (uint32_t *)&tested) |
         ekiben_input(&session, 0, &input) | ekiben_run(&session) | ekiben_output(&session, 0, &output);
}
EOF
  arm-none-eabi-gcc -std=c11 -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -O2 -I targets/firmware/include \
    -ffunction-sections -fdata-sections -nostartfiles --specs=nano.specs --specs=nosys.specs \
    -Wl,--gc-sections,--entry=main,--defsym=arena=0x20000000,--defsym=model=0x08000000,-z,noexecstack \
    "$work/main.c" "$LIBRARY" -o "$work/program"
  arm-none-eabi-size "$work/program" | awk 'NR == 2 { print $1 + $2 }'
}

scripts/cargo-cross.sh $DEVICE rustc --locked -q --profile device -p ekiben-firmware --crate-type staticlib \
  --target-dir "$BUILD" >&2
base=$(flash_bytes)
printf 'runtime\t%d\n' "$base"
for operator in $(arm-none-eabi-nm "$LIBRARY" 2>/dev/null | sed -n 's/^[0-9a-f]* [RrDdV] ekiben_op_//p' | sort -u); do
  printf '%s\t%d\n' "$operator" $(($(flash_bytes "$operator") - base))
done
