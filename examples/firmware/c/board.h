/* What the example needs of its board: text to the host, an exit status, the depth of the stack, and an instruction
 * counter. On your own hardware these are your UART and your cycle counter. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Prints to the host's standard output. */
void board_print(const char *text);
void board_print_integer(int64_t value);

/* Ends the program, and QEMU with `status` as its own. */
_Noreturn void board_exit(int status);

/* The most bytes of stack in use at any time since reset. */
uint32_t board_stack_peak(void);

/* Starts the counter below. */
void board_start_counter(void);
/* Instructions since it started, in steps of 40: with QEMU's `-icount shift=0` that is a tick of the system timer. */
uint64_t board_instructions(void);
/* Interrupt handler of the system timer. */
void board_count_wrap(void);

/* What start.c fills the stack with before anything runs on it. */
#define BOARD_STACK_PAINT 0xCCCCCCCCu
/* The stack's ends, from the linker script. */
extern uint32_t stack_lowest, stack_top;

#endif
