#ifndef EKIBEN_H
#define EKIBEN_H

/* Generated from targets/firmware/lib/src by its test `header`: do not edit. */

#include <stddef.h>
#include <stdint.h>

/* Type of a tensor's elements. */
enum {
  EKIBEN_DTYPE_BOOL = 1,
  EKIBEN_DTYPE_INT8 = 2,
  EKIBEN_DTYPE_INT16 = 3,
  EKIBEN_DTYPE_INT32 = 4,
  EKIBEN_DTYPE_INT64 = 5,
  EKIBEN_DTYPE_UINT8 = 6,
  EKIBEN_DTYPE_UINT16 = 7,
  EKIBEN_DTYPE_UINT32 = 8,
  EKIBEN_DTYPE_UINT64 = 9,
  EKIBEN_DTYPE_FLOAT16 = 10,
  EKIBEN_DTYPE_BFLOAT16 = 11,
  EKIBEN_DTYPE_FLOAT32 = 12,
  EKIBEN_DTYPE_FLOAT64 = 13,
  EKIBEN_DTYPE_INT4 = 14,
  EKIBEN_DTYPE_UINT4 = 15,
  EKIBEN_DTYPE_CATEGORY = 16,
  EKIBEN_DTYPE_TEXT = 17,
  EKIBEN_DTYPE_FLOAT8E4M3FN = 18,
  EKIBEN_DTYPE_FLOAT8E4M3FNUZ = 19,
  EKIBEN_DTYPE_FLOAT8E5M2 = 20,
  EKIBEN_DTYPE_FLOAT8E5M2FNUZ = 21,
  EKIBEN_DTYPE_FLOAT8E8M0 = 22,
  EKIBEN_DTYPE_FLOAT4E2M1 = 23,
  EKIBEN_DTYPE_INT2 = 24,
  EKIBEN_DTYPE_UINT2 = 25,
};

/* An operator of the runtime. Each has a symbol `ekiben_op_...`; what `ekiben package` writes names those that an
 * artifact needs. */
typedef struct ekiben_op ekiben_op;


// Size of a session in words of 8 bytes.
#define EKIBEN_SESSION_WORDS 40

// The element of an input of categories that is none of the model's.
#define EKIBEN_UNKNOWN_CATEGORY 4294967295

// The most axes that a tensor can have.
#define EKIBEN_MAX_RANK 8

// Result of a function: `EKIBEN_STATUS_OK`, or what went wrong.
enum ekiben_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The function did what it was asked.
  EKIBEN_STATUS_OK = 0,
  // A pointer is null, or a list of operators is out of order.
  EKIBEN_STATUS_ARGUMENT = -1,
  // The model or the arena does not start at a multiple of 16 bytes, or the session at one of 8.
  EKIBEN_STATUS_MISALIGNED = -2,
  // The model's bytes are not an artifact.
  EKIBEN_STATUS_NOT_AN_ARTIFACT = -3,
  // The artifact has another format version than this library.
  EKIBEN_STATUS_VERSION = -4,
  // The artifact was cut off, damaged or changed.
  EKIBEN_STATUS_CORRUPT = -5,
  // The artifact needs an operator that is not in the list.
  EKIBEN_STATUS_NO_KERNEL = -6,
  // The artifact has no API with this index.
  EKIBEN_STATUS_NO_API = -7,
  // The API does not take this number of rows.
  EKIBEN_STATUS_ROWS = -8,
  // The arena is smaller than `ekiben_arena_bytes` says.
  EKIBEN_STATUS_ARENA_TOO_SMALL = -9,
  // The API has no tensor with this index.
  EKIBEN_STATUS_NO_TENSOR = -10,
  // A step of the plan failed.
  EKIBEN_STATUS_STEP = -11,
  // A golden vector's output differs from the expected one.
  EKIBEN_STATUS_DIFFERS = -12,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ekiben_status ekiben_status;
#else
typedef int32_t ekiben_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// On which side of a run a tensor is.
enum ekiben_direction
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Written by the caller before a run.
  EKIBEN_DIRECTION_INPUT = 0,
  // Read by the caller after a run.
  EKIBEN_DIRECTION_OUTPUT = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ekiben_direction ekiben_direction;
#else
typedef int32_t ekiben_direction;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Memory for a session. The caller provides it, `ekiben_open` fills it; it may be copied and needs no closing.
typedef struct ekiben_session {
  uint64_t opaque[EKIBEN_SESSION_WORDS];
} ekiben_session;

// A list of operators, in rising order of their tags.
typedef struct ekiben_kernels {
  // The operators: addresses of `ekiben_op_…` symbols.
  const ekiben_op *const *operators;
  // Number of operators.
  size_t count;
} ekiben_kernels;

// Name, type and shape of an input or output.
typedef struct ekiben_tensor {
  // The name in UTF-8, not terminated; null when there is none.
  const char *name;
  // Bytes of the name.
  size_t name_length;
  // Bytes of the values.
  size_t bytes;
  // Type of the elements: one of `EKIBEN_DTYPE_...`.
  uint8_t dtype;
  // Number of axes.
  uint8_t rank;
  // Lengths of the axes for the session's rows; beyond the rank they are 0.
  uint32_t shape[EKIBEN_MAX_RANK];
  // `real = scale * (stored - zero_point)`; 0 when the elements are not quantized.
  float scale;
  // The stored value of real zero.
  int32_t zero_point;
} ekiben_tensor;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Every operator that this library has.
extern const struct ekiben_kernels ekiben_all_kernels;

// Bytes of arena that a run of API number `api` on `rows` rows needs; 0 when the model is not an artifact, has no such API,
// or needs more than the address space. Reads the header only: `ekiben_open` is what checks the model.
//
// # Safety
// `model` points to `model_length` bytes.
size_t ekiben_arena_bytes(const void *model,
                          size_t model_length,
                          uint32_t api,
                          uint32_t rows);

// Checks the model and prepares to run API number `api` on `rows` rows. Time is linear in the model's structure.
//
// # Safety
// `session` points to a session; `model` to `model_length` bytes that stay as they are while the session is used; `arena` to
// `arena_length` bytes that nothing else uses meanwhile; `kernels` to a list of operators that stays as it is.
ekiben_status ekiben_open(struct ekiben_session *session,
                          const void *model,
                          size_t model_length,
                          uint32_t api,
                          uint32_t rows,
                          void *arena,
                          size_t arena_length,
                          const struct ekiben_kernels *kernels);

// Says what input or output number `index` is.
//
// # Safety
// `session` is open; `info` points to memory for the answer.
ekiben_status ekiben_tensor_info(const struct ekiben_session *session,
                                 ekiben_direction direction,
                                 uint32_t index,
                                 struct ekiben_tensor *info);

// Where to write the values of input number `index` before a run. A run may overwrite them.
//
// # Safety
// `session` is open; `data` points to memory for the answer.
ekiben_status ekiben_input(const struct ekiben_session *session, uint32_t index, void **data);

// The element that stands for a text in input number `index`, whose elements are categories: the text's number, or
// `EKIBEN_UNKNOWN_CATEGORY` when the model does not know it. An empty text stands for a missing value. Takes one look at the model,
// whatever the number of categories.
//
// # Safety
// `session` is open; `text` points to `length` bytes; `category` to memory for the answer.
ekiben_status ekiben_category(const struct ekiben_session *session,
                              uint32_t index,
                              const char *text,
                              size_t length,
                              uint32_t *category);

// Runs the API on the inputs.
//
// # Safety
// `session` is open.
ekiben_status ekiben_run(const struct ekiben_session *session);

// Puts the states of a streaming model to what they start from, as `ekiben_open` does. Other models are left as they are.
//
// # Safety
// `session` is open.
ekiben_status ekiben_reset(const struct ekiben_session *session);

// Where to read the values of output number `index` after a run. The next run overwrites them.
//
// # Safety
// `session` is open; `data` points to memory for the answer.
ekiben_status ekiben_output(const struct ekiben_session *session, uint32_t index, const void **data);

// Checks the weights against their digest and runs every golden vector of the artifact that the arena is large enough for; one at
// least must be. Inputs and outputs of the session are lost. `vectors`, when it is not null, gets the number of vectors that passed.
//
// # Safety
// `session` is open; `vectors` is null or points to memory for the answer.
ekiben_status ekiben_self_test(const struct ekiben_session *session,
                               uint32_t *vectors);

// What a status means: a constant text in English, never null.
const char *ekiben_status_str(int32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EKIBEN_H */
