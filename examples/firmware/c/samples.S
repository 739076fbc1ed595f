@ Rows of int8, one after the other.
  .section .rodata.samples, "a"
  .global samples, samples_end
samples:
  .incbin "samples.bin"
samples_end:
