#!/usr/bin/env bash
# Compiles and packages an int8 model, builds an example with it, runs the example on an emulated Cortex-M4F, and compares
# its predictions with this machine's:
#
#   examples/firmware/run.sh [rust] [c]      (both when none is named)
#   examples/firmware/run.sh generate        (only the sources in generated/)
#
# scripts/install-cross.sh installs what it takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly MODEL=tests/fixtures/tflite/ds_cnn_int8/model.tflite
readonly EXAMPLE=examples/firmware
readonly GENERATED=$EXAMPLE/generated
readonly DEVICE=thumbv7em-none-eabihf
readonly BUILD=${CARGO_TARGET_DIR:-$PWD/target}

fail() { # MESSAGE…
  echo "run.sh: $*" >&2
  exit 1
}

generate() {
  mkdir -p "$GENERATED"
  cargo run --locked -q -p ekiben -- compile "$MODEL" -o "$GENERATED/model.ekb"
  cargo run --locked -q -p ekiben -- package "$GENERATED/model.ekb" --as firmware -o "$GENERATED"
}

elements() { # INPUT|OUTPUT: elements of a row, as the packaged header says
  sed -n "s/^#define MODEL_PREDICT_$1_.*_ELEMENTS \([0-9]*\)u$/\1/p" "$GENERATED/model.h"
}

# This machine's predictions, all samples in one batch.
host_predictions() {
  local rows=$(($(wc -c <$EXAMPLE/samples.bin) / $(elements INPUT)))
  cargo run --locked -q -p ekiben-runtime --features std --example run-artifact -- \
    "$GENERATED/model.ekb" 0 "$rows" $EXAMPLE/samples.bin "$GENERATED/host.bin"
  od -An -v -td1 "-w$(elements OUTPUT)" "$GENERATED/host.bin" | tr -s ' ' | awk '{ print "prediction " NR - 1 ":" $0 }'
}

build_rust() { # prints the image's path
  scripts/cargo-cross.sh $DEVICE build --locked -q --release --manifest-path $EXAMPLE/rust/Cargo.toml \
    --target-dir "$BUILD" >&2
  echo "$BUILD/$DEVICE/release/firmware-rust"
}

build_c() { # [KERNELS]: with another list of operators than the packaged one; prints the image's path
  local image=$BUILD/$DEVICE/firmware-c-${1:-model_kernels}.elf
  scripts/cargo-cross.sh $DEVICE rustc --locked -q --profile device -p ekiben-firmware --crate-type staticlib \
    --target-dir "$BUILD" >&2
  arm-none-eabi-gcc -std=c11 -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -O2 -Wall -Wextra -Werror \
    -ffunction-sections -fdata-sections -nostartfiles --specs=nano.specs -Wl,--gc-sections,-z,noexecstack \
    "-DKERNELS=${1:-model_kernels}" -I targets/firmware/include -I "$GENERATED" -Wa,-I$EXAMPLE \
    -T $EXAMPLE/c/mps2-an386.ld $EXAMPLE/c/*.c $EXAMPLE/c/*.S "$GENERATED"/*.c \
    "$BUILD/$DEVICE/device/libekiben_firmware.a" -o "$image"
  echo "$image"
}

flash_bytes() { # IMAGE: code, constants and initial values of variables
  arm-none-eabi-size "$1" | awk 'NR == 2 { print $1 + $2 }'
}

# No allocator, and no operator but those that the package lists.
check_symbols() { # IMAGE
  local symbols unwanted linked
  symbols=$(arm-none-eabi-nm -C "$1")
  unwanted=$(grep -E ' (_?(malloc|calloc|realloc|free)(_r)?|_?sbrk(_r)?|__(rust|rdl|rg)_(alloc|dealloc|realloc).*)$' \
    <<<"$symbols") && fail "$1 has an allocator: $unwanted"
  linked=$(grep -oE '(kernel_set::(check|run)::<|<)ekiben_runtime::ops::[a-z0-9_]+::[A-Za-z0-9]+( as|>)' <<<"$symbols" |
    sed -E 's/.*::([a-z0-9_]+)::[A-Za-z0-9]+( as|>)$/\1/' | sort -u)
  [ -n "$linked" ] || fail "$1 has no symbol of any operator"
  unwanted=$(comm -23 <(echo "$linked") <(sed -n 's/^extern const ekiben_op ekiben_op_\(.*\);$/\1/p' "$GENERATED/kernels.c" | sort))
  [ -z "$unwanted" ] || fail "$1 has operators that the model does not need: $unwanted"
}

run_example() { # NAME
  local image output
  echo "== $1"
  image=$("build_$1")
  check_symbols "$image"
  output=$(scripts/run-on.sh $DEVICE "$image")
  echo "$output"
  diff <(grep '^prediction ' <<<"$output") <(host_predictions) || fail "the device's predictions differ from this machine's"
  echo "flash_bytes $(flash_bytes "$image")"
}

# What the image would take with every operator of the runtime.
compare_kernels() {
  local packaged all
  packaged=$(flash_bytes "$(build_c)") all=$(flash_bytes "$(build_c ekiben_all_kernels)")
  echo "flash_bytes_with_all_kernels $all"
  ((packaged < all)) || fail "a smaller set of operators makes no smaller image"
}

[ $# -gt 0 ] || set -- rust c
generate
for example; do
  case $example in
    generate) ;;
    rust) run_example rust ;;
    c)
      run_example c
      compare_kernels
      ;;
    *)
      echo "run.sh: unknown argument $example; known are rust, c and generate" >&2
      exit 2
      ;;
  esac
done
