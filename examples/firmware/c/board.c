/* QEMU's mps2-an386 through semihosting (Arm, "Semihosting for AArch32 and AArch64") and the system timer. */
#include "board.h"

#include <string.h>

enum {
  SYS_OPEN = 0x01,
  SYS_WRITE = 0x05,
  SYS_EXIT_EXTENDED = 0x20,
  APPLICATION_EXIT = 0x20026,
  OPEN_FOR_WRITING = 4,
};

#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define TICKS_PER_WRAP (1u << 24)
#define INSTRUCTIONS_PER_TICK 40u

static uint32_t semihost(uint32_t operation, const void *argument) {
  register uint32_t r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

void board_print(const char *text) {
  static uint32_t console; /* 0 until it is open: the host gives no such handle */
  if (console == 0) {
    const uint32_t path[3] = {(uint32_t)":tt", OPEN_FOR_WRITING, 3};
    console = semihost(SYS_OPEN, path);
  }
  const uint32_t block[3] = {console, (uint32_t)text, strlen(text)};
  semihost(SYS_WRITE, block);
}

void board_print_integer(int64_t value) {
  char digits[21];
  char *start = digits + sizeof digits;
  uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
  *--start = '\0';
  do {
    *--start = (char)('0' + rest % 10);
  } while (rest /= 10);
  if (value < 0) *--start = '-';
  board_print(start);
}

void board_exit(int status) {
  const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)status};
  for (;;) semihost(SYS_EXIT_EXTENDED, block);
}

uint32_t board_stack_peak(void) {
  const volatile uint32_t *used = &stack_lowest;
  while (used < &stack_top && *used == BOARD_STACK_PAINT) used++;
  return (uint32_t)((const volatile char *)&stack_top - (const volatile char *)used);
}

static volatile uint32_t wraps;

void board_count_wrap(void) { wraps++; }

void board_start_counter(void) {
  SYST_RVR = TICKS_PER_WRAP - 1;
  SYST_CVR = 0;
  SYST_CSR = 7; /* processor clock, interrupt, on */
}

uint64_t board_instructions(void) {
  for (;;) {
    const uint32_t before = wraps;
    /* The timer counts down and interrupts on reaching zero, so zero is the first tick of a round. */
    const uint32_t into_round = (TICKS_PER_WRAP - SYST_CVR) % TICKS_PER_WRAP;
    if (before == wraps) return ((uint64_t)before * TICKS_PER_WRAP + into_round) * INSTRUCTIONS_PER_TICK;
  }
}
