/* Runs an int8 model from flash: samples go in, predictions come out.
 *
 * There is no heap. The artifact and the samples are constants, the arena is one static array, and only the kernels that
 * the artifact needs are linked. */
#include <stdalign.h>
#include <string.h>

#include "board.h"
#include "model.h"

/* Set to another list to see what it costs. */
#ifndef KERNELS
#define KERNELS model_kernels
#endif

extern const int8_t samples[], samples_end[];

static alignas(16) uint8_t arena[MODEL_PREDICT_ARENA_BYTES];
static ekiben_session session;

/* Ends the program when `status` is an error. */
static void check(ekiben_status status, const char *what) {
  if (status == EKIBEN_STATUS_OK) return;
  board_print(what);
  board_print(": ");
  board_print(ekiben_status_str(status));
  board_print("\n");
  board_exit(1);
}

static void report(const char *name, uint64_t value) {
  board_print(name);
  board_print(" ");
  board_print_integer((int64_t)value);
  board_print("\n");
}

/* Predicts from one sample; returns the instructions that the run took. */
static uint64_t predict(unsigned row, const int8_t *sample, size_t length) {
  void *input;
  const void *output;
  ekiben_tensor scores;
  check(ekiben_input(&session, 0, &input), "input");
  memcpy(input, sample, length);
  const uint64_t before = board_instructions();
  check(ekiben_run(&session), "run");
  const uint64_t instructions = board_instructions() - before;
  check(ekiben_output(&session, 0, &output), "output");
  check(ekiben_tensor_info(&session, EKIBEN_DIRECTION_OUTPUT, 0, &scores), "output");
  board_print("prediction ");
  board_print_integer(row);
  board_print(":");
  for (size_t i = 0; i < scores.bytes; i++) {
    board_print(" ");
    board_print_integer(((const int8_t *)output)[i]);
  }
  board_print("\n");
  return instructions;
}

int main(void) {
  board_start_counter();
  const uint64_t before = board_instructions();
  check(ekiben_open(&session, model, MODEL_LENGTH, MODEL_PREDICT_API, 1, arena, sizeof arena, &KERNELS), "open");
  const uint64_t load_instructions = board_instructions() - before;
  uint32_t vectors;
  check(ekiben_self_test(&session, &vectors), "self-test");

  ekiben_tensor input;
  check(ekiben_tensor_info(&session, EKIBEN_DIRECTION_INPUT, 0, &input), "input");
  uint64_t run_instructions = 0;
  const size_t rows = (size_t)(samples_end - samples) / input.bytes;
  for (unsigned row = 0; row < rows; row++) {
    run_instructions = predict(row, samples + row * input.bytes, input.bytes);
  }
  report("self_test_vectors", vectors);
  report("arena_bytes", sizeof arena);
  report("stack_bytes", board_stack_peak());
  report("load_instructions", load_instructions);
  report("run_instructions", run_instructions);
  return 0;
}
