/* binding.h: functions that only bindings for other languages need, besides sidecall.h.
 *
 * A binding converts values of its language and turns an error into an exception. The library
 * writes the message for every wrong value, so that the message is the same in every language. With
 * the first functions here a binding tells the library about values that C cannot express.
 * The rules of sidecall.h hold for all functions here.
 *
 * A binding loads the library and calls sidecall_abi_version. It declares the structs with their
 * struct_size and calls the functions that end in _init_sized; for errors it may use
 * sidecall_error_open instead. */
#ifndef SIDECALL_BINDING_H
#define SIDECALL_BINDING_H

#include <sidecall/sidecall.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Remembers, for the next run, a value that the caller's language cannot convert to any type of the
 * sidecall_call_set functions.
 *
 * row, feature  as for sidecall_call_set_f64. feature -1 says that the row itself is not a record;
 *               this fails at once and is not remembered.
 * got           names the type of the value in the caller's language, such as "list"
 *
 * Returns the DTYPE_MISMATCH that the run will report too.
 *
 * Errors: DTYPE_MISMATCH, INVALID_ARGUMENT, NO_CONTRACT, BUSY. */
SIDECALL_API sidecall_status sidecall_call_set_invalid(sidecall_call *call, int64_t row,
                                                       int32_t feature, const char *got,
                                                       sidecall_error *err);

/* Remembers, for the next run, that a record has a key that is not a feature of the model. Does
 * nothing under SIDECALL_EXTRA_IGNORE.
 *
 * name          `length` bytes; a NUL at the end is not needed
 *
 * Returns the UNKNOWN_NAME that the run will report too.
 *
 * Errors: UNKNOWN_NAME, INVALID_ARGUMENT, NO_CONTRACT, BUSY. */
SIDECALL_API sidecall_status sidecall_call_set_unknown(sidecall_call *call, int64_t row,
                                                       const char *name, size_t length,
                                                       sidecall_error *err);

/* Sets a datetime feature to a plain number of a record. It counts the `epoch` of the feature since
 * 1970 in UTC, and is converted to the unit of the feature exactly.
 *
 * number        the text of a number as in JSON, `length` bytes; a NUL at the end is not needed.
 *               Text, because a double cannot hold every such number.
 *
 * Errors: DTYPE_MISMATCH (the feature has no `epoch`, or is no datetime), OUT_OF_RANGE (the number
 * is not a whole count of the unit, or one that int64 or the model does not take),
 * INVALID_ARGUMENT (also: another text), UNKNOWN_NAME, NO_CONTRACT, BUSY. */
SIDECALL_API sidecall_status sidecall_call_set_epoch(sidecall_call *call, int64_t row,
                                                     int32_t feature, const char *number,
                                                     size_t length, sidecall_error *err);

/* Like sidecall_call_set_datetime, for a value that is an instant, such as a time_point of C++: a
 * datetime feature without a time zone refuses it with DTYPE_MISMATCH.
 *
 * Errors: those of sidecall_call_set_datetime. */
SIDECALL_API sidecall_status sidecall_call_set_instant(sidecall_call *call, int64_t row,
                                                       int32_t feature, int64_t seconds,
                                                       int32_t nanoseconds, sidecall_error *err);

/* Fills `err` with the DTYPE_MISMATCH of an input whose value has a type without a SIDECALL_DTYPE
 * number, so that a binding can raise it. Changes nothing else.
 *
 * input         the index; -1 fills `err` with UNKNOWN_NAME, another bad index with
 *               INVALID_ARGUMENT
 * got           names the type in the caller's language, such as "complex128" */
SIDECALL_API void sidecall_call_describe_mismatch(sidecall_call *call, int32_t input,
                                                  const char *got, sidecall_error *err);

/* Kinds of a sidecall_value that only bindings need, for sidecall_call_set_row. The function in
 * brackets sets such a value. */
#define SIDECALL_VALUE_INSTANT 6 /* i64: seconds; and nanoseconds [set_instant] */
#define SIDECALL_VALUE_EPOCH 7   /* text and length: a number [set_epoch] */
#define SIDECALL_VALUE_INVALID 8 /* text and length: the type of the value [set_invalid] */

/* Returns the size in bytes that a struct has in the loaded library, by its name: "sidecall_error".
 * A binding that declares structs itself compares at start. The sizes of sidecall_value and
 * sidecall_fault must be equal; specs and sidecall_text must not be smaller than the binding
 * declares them; structs with a struct_size may be larger or smaller. Returns 0 for every other
 * name. Cannot fail. Any thread. */
SIDECALL_API size_t sidecall_struct_size(const char *name);

/* Errors for languages in which structs with arrays of characters are cumbersome: the library
 * allocates the sidecall_error, and the functions below read it.
 *
 * max_faults  how many faults it can hold (sidecall_error.faults): at most 1000; 0 for none
 *
 * Returns NULL if there is no memory. The error is initialised, and belongs to the caller, who
 * closes it with sidecall_error_close. It can be used again for any number of functions, but not
 * for sidecall_error_init, which would forget its faults. */
SIDECALL_API sidecall_error *sidecall_error_open(uint32_t max_faults);

/* Releases an error of sidecall_error_open. NULL is allowed; cannot fail. */
SIDECALL_API void sidecall_error_close(sidecall_error *err);

/* Return the fields of an error of sidecall_error_open, or of a struct that the caller declared
 * with all fields of this header. A function that succeeds does not empty the error, so ask only
 * after one has failed. `name` is the feature, column or other thing that the first fault
 * is about. For NULL they return 0, row -1 and "". Texts live until the error is filled again or
 * closed. */
SIDECALL_API sidecall_status sidecall_error_status(const sidecall_error *err);
SIDECALL_API int32_t sidecall_error_retryable(const sidecall_error *err);
SIDECALL_API int64_t sidecall_error_row(const sidecall_error *err);
SIDECALL_API const char *sidecall_error_name(const sidecall_error *err);
SIDECALL_API const char *sidecall_error_expected(const sidecall_error *err);
SIDECALL_API const char *sidecall_error_got(const sidecall_error *err);
SIDECALL_API const char *sidecall_error_message(const sidecall_error *err);
SIDECALL_API uint32_t sidecall_error_num_faults(const sidecall_error *err);

/* Returns fault `index` of the error, from 0. It belongs to the error, like its texts. Returns NULL
 * if the error does not hold that many, which may be fewer than sidecall_error_num_faults: to read
 * all, go on until NULL. */
SIDECALL_API const sidecall_fault *sidecall_error_fault(const sidecall_error *err, uint32_t index);

/* Return the fields of a fault: see sidecall_fault. For NULL they return 0, row -1 and "". */
SIDECALL_API sidecall_status sidecall_fault_status(const sidecall_fault *fault);
SIDECALL_API int64_t sidecall_fault_row(const sidecall_fault *fault);
SIDECALL_API const char *sidecall_fault_name(const sidecall_fault *fault);
SIDECALL_API const char *sidecall_fault_expected(const sidecall_fault *fault);
SIDECALL_API const char *sidecall_fault_got(const sidecall_fault *fault);
SIDECALL_API const char *sidecall_fault_message(const sidecall_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
