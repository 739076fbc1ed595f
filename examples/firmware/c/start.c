/* Vector table and start-up of a Cortex-M4F. */
#include <stdint.h>

#include "board.h"

extern uint32_t data_start, data_end, bss_start, bss_end;
extern const uint32_t data_load;

int main(void);

/* Runs before memory is what C expects: touches no variable, and no stack below its own. */
__attribute__((noreturn)) static void start(void) {
  const uint32_t *from = &data_load;
  for (uint32_t *to = &data_start; to < &data_end;) *to++ = *from++;
  for (uint32_t *to = &bss_start; to < &bss_end;) *to++ = 0;
  board_exit(main());
}

__attribute__((naked)) void reset(void) {
  __asm__ volatile(
      /* Full access to coprocessors 10 and 11: the floating-point unit is off after a reset. */
      "ldr r0, =0xE000ED88\n"
      "ldr r1, [r0]\n"
      "orr r1, r1, #(0xF << 20)\n"
      "str r1, [r0]\n"
      "dsb\n"
      "isb\n"
      /* Paint the stack. */
      "ldr r0, =stack_lowest\n"
      "ldr r1, =stack_top\n"
      "ldr r2, =%c0\n"
      "1: cmp r0, r1\n"
      "bhs 2f\n"
      "str r2, [r0], #4\n"
      "b 1b\n"
      "2: b %c1\n" ::"i"(BOARD_STACK_PAINT),
      "i"(start));
}

static void fault(void) {
  board_print("processor fault\n");
  board_exit(102);
}

typedef union {
  void *stack;
  void (*handler)(void);
} vector;

/* Positions as in the ARMv7-M architecture: stack, reset, faults, supervisor call, debug, pending call, timer. */
__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = &stack_top},
    [1] = {.handler = reset},
    [2] = {.handler = fault},
    [3] = {.handler = fault},
    [4] = {.handler = fault},
    [5] = {.handler = fault},
    [6] = {.handler = fault},
    [11] = {.handler = fault},
    [12] = {.handler = fault},
    [14] = {.handler = fault},
    [15] = {.handler = board_count_wrap},
};
