/* Counts the instructions of the model that emlearn generated: 40 to a tick of the 25 MHz system timer, one a nanosecond. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include MODEL
#include "rows.h"
extern void _start(void);
__attribute__((section(".vectors"), used)) const uintptr_t vectors[16] = {0x20100000u, (uintptr_t)&_start};
#define CSR (*(volatile uint32_t *)0xE000E010)
#define RVR (*(volatile uint32_t *)0xE000E014)
#define CVR (*(volatile uint32_t *)0xE000E018)
int main(void) {
  RVR = 0xffffff; CVR = 0; CSR = 5;
  int wrong = 0;
  uint32_t a = CVR;
  for (int i = 0; i < 100; i++) wrong += model_predict(rows + i * FEATURES, FEATURES) != labels[i];
  uint32_t b = CVR;
  printf("instructions_per_row %lu other_labels %d\n", (unsigned long)((a - b) & 0xffffff) * 40 / 100, wrong);
  exit(0);
}
