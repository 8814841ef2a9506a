package dev.sidecall;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * The functions of the library and of the C library. Handles and pointers are numbers: see {@link
 * Memory}.
 *
 * <p>No downcall is a critical one, because the garbage collector would wait for it. Even for
 * functions as short as sidecall_call_get_f64 this option does not make a prediction measurably
 * shorter. sidecall_queue_take never blocks without a time to wait, but it reads answers, which may
 * be large, and after the death of a server it looks for the next one.
 */
@SuppressWarnings("restricted") // see module-info.java
final class Native {
  private static final Linker LINKER = Linker.nativeLinker();
  private static final SymbolLookup LIBRARY = Library.symbols();
  private static final SymbolLookup LIBC = LINKER.defaultLookup();

  private static final MethodHandle VERSION = function("sidecall_version");
  private static final MethodHandle DTYPE_BITS = function("sidecall_dtype_bits");
  private static final MethodHandle ENGINE_DESCRIBE = function("sidecall_engine_describe");
  private static final MethodHandle TEXT_CLOSE = function("sidecall_text_close");

  private static final MethodHandle MODEL_OPEN = function("sidecall_model_open");
  private static final MethodHandle MODEL_OPEN_BYTES = function("sidecall_model_open_bytes");
  private static final MethodHandle MODEL_OPTIONS_INIT =
      function("sidecall_model_options_init_sized");
  private static final MethodHandle MODEL_CLOSE = function("sidecall_model_close");
  private static final MethodHandle MODEL_FIND = function("sidecall_model_find");
  private static final MethodHandle MODEL_VERIFY = function("sidecall_model_verify");
  private static final MethodHandle PREDICT_JSON = function("sidecall_predict_json");
  private static final MethodHandle MODEL_CONTRACT = function("sidecall_model_contract");
  private static final MethodHandle MODEL_ROUTE = function("sidecall_model_route");

  static final MethodHandle MODEL_NAME = function("sidecall_model_name");
  static final MethodHandle MODEL_VERSION = function("sidecall_model_version");
  static final MethodHandle MODEL_ID = function("sidecall_model_id");
  static final MethodHandle MODEL_ENGINE = function("sidecall_model_engine");
  static final MethodHandle MODEL_ENGINE_REASON = function("sidecall_model_engine_reason");
  static final MethodHandle MODEL_WARNING = function("sidecall_model_warning");
  static final MethodHandle NUM_INPUTS = function("sidecall_model_num_inputs");
  static final MethodHandle NUM_OUTPUTS = function("sidecall_model_num_outputs");
  static final MethodHandle NUM_FEATURES = function("sidecall_model_num_features");
  static final MethodHandle NUM_COLUMNS = function("sidecall_model_num_columns");
  static final MethodHandle INPUT_SPEC = function("sidecall_model_input_spec");
  static final MethodHandle OUTPUT_SPEC = function("sidecall_model_output_spec");
  static final MethodHandle FEATURE_SPEC = function("sidecall_model_feature_spec");
  static final MethodHandle COLUMN_SPEC = function("sidecall_model_column_spec");

  private static final MethodHandle CALL_OPEN = function("sidecall_call_open");
  private static final MethodHandle TAKE_CALL = function("sidecall_model_take_call");
  private static final MethodHandle GIVE_CALL = function("sidecall_model_give_call");
  private static final MethodHandle CALL_CLOSE = function("sidecall_call_close");
  private static final MethodHandle CALL_CLEAR = function("sidecall_call_clear");
  private static final MethodHandle CALL_RESET = function("sidecall_call_reset");
  private static final MethodHandle CALL_ROWS = function("sidecall_call_rows");
  private static final MethodHandle CALL_RESIZE = function("sidecall_call_resize");
  private static final MethodHandle CALL_RUN = function("sidecall_call_run");
  private static final MethodHandle CALL_CANCEL = function("sidecall_call_cancel");
  private static final MethodHandle CALL_ERROR = function("sidecall_call_error");

  private static final MethodHandle QUEUE_OPEN = function("sidecall_queue_open");
  private static final MethodHandle QUEUE_SUBMIT = function("sidecall_queue_submit");
  private static final MethodHandle QUEUE_TAKE = function("sidecall_queue_take");
  private static final MethodHandle QUEUE_CANCEL = function("sidecall_queue_cancel");

  private static final MethodHandle SET_F64 = function("sidecall_call_set_f64");
  private static final MethodHandle SET_I64 = function("sidecall_call_set_i64");
  private static final MethodHandle SET_BOOL = function("sidecall_call_set_bool");
  private static final MethodHandle SET_STR = function("sidecall_call_set_str");
  private static final MethodHandle SET_DATETIME = function("sidecall_call_set_datetime");
  private static final MethodHandle SET_INSTANT = function("sidecall_call_set_instant");
  private static final MethodHandle SET_MISSING = function("sidecall_call_set_missing");
  private static final MethodHandle SET_UNKNOWN = function("sidecall_call_set_unknown");
  private static final MethodHandle SET_ROW = function("sidecall_call_set_row");
  private static final MethodHandle SET_ROW_F64 = function("sidecall_call_set_row_f64");
  private static final MethodHandle SET_FEATURE_F64 = function("sidecall_call_set_feature_f64");
  private static final MethodHandle SET_FEATURE_I64 = function("sidecall_call_set_feature_i64");
  private static final MethodHandle SET_FEATURE_BOOL = function("sidecall_call_set_feature_bool");
  private static final MethodHandle SET_FEATURE_STR = function("sidecall_call_set_feature_str");
  private static final MethodHandle GET_F64 = function("sidecall_call_get_f64");
  private static final MethodHandle GET_I64 = function("sidecall_call_get_i64");
  private static final MethodHandle GET_STR = function("sidecall_call_get_str");
  private static final MethodHandle GET_ROW = function("sidecall_call_get_row");
  private static final MethodHandle GET_ROW_F64 = function("sidecall_call_get_row_f64");
  private static final MethodHandle GET_COLUMN_F64 = function("sidecall_call_get_column_f64");
  private static final MethodHandle GET_COLUMN_I64 = function("sidecall_call_get_column_i64");
  private static final MethodHandle GET_COLUMN_STR = function("sidecall_call_get_column_str");
  private static final MethodHandle CALL_INPUT = function("sidecall_call_input");
  private static final MethodHandle CALL_OUTPUT = function("sidecall_call_output");
  private static final MethodHandle COPY_INPUT = function("sidecall_call_copy_input");
  private static final MethodHandle BIND_INPUT = function("sidecall_call_bind_input");
  private static final MethodHandle RESHAPE = function("sidecall_call_reshape");

  private static final MethodHandle ERROR_OPEN = function("sidecall_error_open");
  private static final MethodHandle ERROR_CLOSE = function("sidecall_error_close");
  private static final MethodHandle ERROR_RETRYABLE = function("sidecall_error_retryable");
  private static final MethodHandle ERROR_ROW = function("sidecall_error_row");
  private static final MethodHandle ERROR_NUM_FAULTS = function("sidecall_error_num_faults");
  private static final MethodHandle ERROR_FAULT = function("sidecall_error_fault");
  private static final MethodHandle FAULT_STATUS = function("sidecall_fault_status");
  private static final MethodHandle FAULT_ROW = function("sidecall_fault_row");

  static final MethodHandle ERROR_NAME = function("sidecall_error_name");
  static final MethodHandle ERROR_EXPECTED = function("sidecall_error_expected");
  static final MethodHandle ERROR_GOT = function("sidecall_error_got");
  static final MethodHandle ERROR_MESSAGE = function("sidecall_error_message");
  static final MethodHandle FAULT_NAME = function("sidecall_fault_name");
  static final MethodHandle FAULT_EXPECTED = function("sidecall_fault_expected");
  static final MethodHandle FAULT_GOT = function("sidecall_fault_got");
  static final MethodHandle FAULT_MESSAGE = function("sidecall_fault_message");

  private static final MethodHandle CALLOC = function(LIBC, "calloc", "LLL");
  private static final MethodHandle FREE = function(LIBC, "free", "VL");

  private Native() {}

  private static MethodHandle function(String name) {
    return function(LIBRARY, name, Header.types(name));
  }

  /** Declares a function by its types: see {@link Header#types}. */
  private static MethodHandle function(SymbolLookup lookup, String name, String types) {
    MemoryLayout[] arguments = new MemoryLayout[types.length() - 1];
    for (int i = 0; i < arguments.length; ++i) {
      arguments[i] = layout(types.charAt(i + 1));
    }
    FunctionDescriptor descriptor =
        types.charAt(0) == 'V'
            ? FunctionDescriptor.ofVoid(arguments)
            : FunctionDescriptor.of(layout(types.charAt(0)), arguments);
    MemorySegment symbol =
        lookup
            .find(name)
            .orElseThrow(() -> new LinkageError("there is no function " + name));
    return LINKER.downcallHandle(symbol, descriptor);
  }

  private static MemoryLayout layout(char type) {
    return switch (type) {
      case 'I' -> ValueLayout.JAVA_INT;
      case 'D' -> ValueLayout.JAVA_DOUBLE;
      default -> ValueLayout.JAVA_LONG;
    };
  }

  /** A downcall throws nothing itself; what arrives here is an error of the virtual machine. */
  static RuntimeException rethrow(Throwable e) {
    if (e instanceof RuntimeException unchecked) {
      throw unchecked;
    }
    if (e instanceof Error error) {
      throw error;
    }
    throw new IllegalStateException(e);
  }

  /** Returns native memory that is filled with zeros. The caller frees it. */
  static long allocate(long size) {
    long address;
    try {
      address = (long) CALLOC.invokeExact(Math.max(size, 1L), 1L);
    } catch (Throwable e) {
      throw rethrow(e);
    }
    if (address == 0) {
      throw SidecallException.refuse(Code.OUT_OF_MEMORY, "out of memory");
    }
    return address;
  }

  /** Returns a text that ends with NUL. The caller frees it. */
  static long nativeText(String text) {
    byte[] bytes = Memory.utf8(text);
    long address = allocate(bytes.length + 1L);
    Memory.copyIn(address, bytes);
    return address;
  }

  static void free(long address) {
    try {
      FREE.invokeExact(address);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static long version() {
    try {
      return (long) VERSION.invokeExact();
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int dtypeBits(int dtype) {
    try {
      return (int) DTYPE_BITS.invokeExact(dtype);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int engineDescribe(long options, long out, long error) {
    try {
      return (int) ENGINE_DESCRIBE.invokeExact(options, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static void textClose(long text) {
    try {
      TEXT_CLOSE.invokeExact(text);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int modelOpen(long uri, long options, long out, long error) {
    try {
      return (int) MODEL_OPEN.invokeExact(uri, options, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int modelOpenBytes(long data, long length, long options, long out, long error) {
    try {
      return (int) MODEL_OPEN_BYTES.invokeExact(data, length, options, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static void modelOptionsInit(long options, long size) {
    try {
      MODEL_OPTIONS_INIT.invokeExact(options, size);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static void modelClose(long model) {
    try {
      MODEL_CLOSE.invokeExact(model);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int modelFind(long model, int kind, long name, long length, long out, long error) {
    try {
      return (int) MODEL_FIND.invokeExact(model, kind, name, length, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int modelVerify(long model, long out, long error) {
    try {
      return (int) MODEL_VERIFY.invokeExact(model, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int predictJson(long model, long json, long length, long out, long error) {
    try {
      return (int) PREDICT_JSON.invokeExact(model, json, length, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static long modelContract(long model, long outLength) {
    try {
      return (long) MODEL_CONTRACT.invokeExact(model, outLength);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int modelRoute(long model) {
    try {
      return (int) MODEL_ROUTE.invokeExact(model);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int callOpen(long model, long rows, long out, long error) {
    try {
      return (int) CALL_OPEN.invokeExact(model, rows, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int takeCall(long model, long rows, long out, long error) {
    try {
      return (int) TAKE_CALL.invokeExact(model, rows, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static void giveCall(long model, long call) {
    try {
      GIVE_CALL.invokeExact(model, call);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static void callClose(long call) {
    try {
      CALL_CLOSE.invokeExact(call);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int callClear(long call, long error) {
    try {
      return (int) CALL_CLEAR.invokeExact(call, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int callReset(long call, long error) {
    try {
      return (int) CALL_RESET.invokeExact(call, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static long callRows(long call) {
    try {
      return (long) CALL_ROWS.invokeExact(call);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int callResize(long call, long rows, long error) {
    try {
      return (int) CALL_RESIZE.invokeExact(call, rows, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int callRun(long call, long timeoutNs, long error) {
    try {
      return (int) CALL_RUN.invokeExact(call, timeoutNs, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static void callCancel(long call) {
    try {
      CALL_CANCEL.invokeExact(call);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int callError(long call, long error) {
    try {
      return (int) CALL_ERROR.invokeExact(call, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int queueOpen(long options, long out, long error) {
    try {
      return (int) QUEUE_OPEN.invokeExact(options, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int queueSubmit(long queue, long call, long timeoutNs, long tag, long outRun, long error) {
    try {
      return (int) QUEUE_SUBMIT.invokeExact(queue, call, timeoutNs, tag, outRun, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int queueTake(
      long queue,
      long run,
      long out,
      long size,
      long capacity,
      long waitNs,
      long outCount,
      long error) {
    try {
      return (int) QUEUE_TAKE.invokeExact(queue, run, out, size, capacity, waitNs, outCount, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static void queueCancel(long queue, long run) {
    try {
      QUEUE_CANCEL.invokeExact(queue, run);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setF64(long call, long row, int feature, double value, long error) {
    try {
      return (int) SET_F64.invokeExact(call, row, feature, value, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setI64(long call, long row, int feature, long value, long error) {
    try {
      return (int) SET_I64.invokeExact(call, row, feature, value, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setBool(long call, long row, int feature, int value, long error) {
    try {
      return (int) SET_BOOL.invokeExact(call, row, feature, value, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setStr(long call, long row, int feature, long text, long length, long error) {
    try {
      return (int) SET_STR.invokeExact(call, row, feature, text, length, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setDatetime(
      long call, long row, int feature, long seconds, int nanoseconds, long error) {
    try {
      return (int) SET_DATETIME.invokeExact(call, row, feature, seconds, nanoseconds, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setInstant(
      long call, long row, int feature, long seconds, int nanoseconds, long error) {
    try {
      return (int) SET_INSTANT.invokeExact(call, row, feature, seconds, nanoseconds, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setMissing(long call, long row, int feature, long error) {
    try {
      return (int) SET_MISSING.invokeExact(call, row, feature, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setUnknown(long call, long row, long name, long length, long error) {
    try {
      return (int) SET_UNKNOWN.invokeExact(call, row, name, length, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setRow(long call, long row, long features, long values, long count, long error) {
    try {
      return (int) SET_ROW.invokeExact(call, row, features, values, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setRowF64(long call, long row, long features, long values, long count, long error) {
    try {
      return (int) SET_ROW_F64.invokeExact(call, row, features, values, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setFeatureF64(
      long call, int feature, long values, long missing, long count, long error) {
    try {
      return (int) SET_FEATURE_F64.invokeExact(call, feature, values, missing, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setFeatureI64(
      long call, int feature, long values, long missing, long count, long error) {
    try {
      return (int) SET_FEATURE_I64.invokeExact(call, feature, values, missing, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setFeatureBool(
      long call, int feature, long values, long missing, long count, long error) {
    try {
      return (int) SET_FEATURE_BOOL.invokeExact(call, feature, values, missing, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int setFeatureStr(
      long call,
      int feature,
      long data,
      long dataBytes,
      long offsets,
      long missing,
      long count,
      long error) {
    try {
      return (int)
          SET_FEATURE_STR.invokeExact(
              call, feature, data, dataBytes, offsets, missing, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int getF64(long call, long row, int column, long out, long error) {
    try {
      return (int) GET_F64.invokeExact(call, row, column, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int getI64(long call, long row, int column, long out, long error) {
    try {
      return (int) GET_I64.invokeExact(call, row, column, out, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int getStr(long call, long row, int column, long out, long outLength, long error) {
    try {
      return (int) GET_STR.invokeExact(call, row, column, out, outLength, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int getRow(long call, long row, long columns, long out, long count, long error) {
    try {
      return (int) GET_ROW.invokeExact(call, row, columns, out, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int getRowF64(long call, long row, long columns, long out, long count, long error) {
    try {
      return (int) GET_ROW_F64.invokeExact(call, row, columns, out, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int getColumnF64(long call, int column, long out, long count, long error) {
    try {
      return (int) GET_COLUMN_F64.invokeExact(call, column, out, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int getColumnI64(long call, int column, long out, long count, long error) {
    try {
      return (int) GET_COLUMN_I64.invokeExact(call, column, out, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int getColumnStr(
      long call, int column, long out, long outLengths, long count, long error) {
    try {
      return (int) GET_COLUMN_STR.invokeExact(call, column, out, outLengths, count, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int callInput(long call, int input, long outView, long error) {
    try {
      return (int) CALL_INPUT.invokeExact(call, input, outView, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int callOutput(long call, int output, long outView, long error) {
    try {
      return (int) CALL_OUTPUT.invokeExact(call, output, outView, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int copyInput(long call, int input, long view, long error) {
    try {
      return (int) COPY_INPUT.invokeExact(call, input, view, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int bindInput(long call, int input, long view, long error) {
    try {
      return (int) BIND_INPUT.invokeExact(call, input, view, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int reshape(long call, int input, long dims, int rank, long error) {
    try {
      return (int) RESHAPE.invokeExact(call, input, dims, rank, error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static long errorOpen(int maxFaults) {
    try {
      return (long) ERROR_OPEN.invokeExact(maxFaults);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static void errorClose(long error) {
    try {
      ERROR_CLOSE.invokeExact(error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static long errorRow(long error) {
    try {
      return (long) ERROR_ROW.invokeExact(error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int errorNumFaults(long error) {
    try {
      return (int) ERROR_NUM_FAULTS.invokeExact(error);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static long errorFault(long error, int index) {
    try {
      return (long) ERROR_FAULT.invokeExact(error, index);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static int faultStatus(long fault) {
    try {
      return (int) FAULT_STATUS.invokeExact(fault);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static long faultRow(long fault) {
    try {
      return (long) FAULT_ROW.invokeExact(fault);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  static boolean errorRetryable(long error) {
    try {
      return (int) ERROR_RETRYABLE.invokeExact(error) != 0;
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  /** Calls one of the functions that return a text of a handle, an error or a fault. */
  static String text(MethodHandle function, long handle) {
    try {
      return Memory.text((long) function.invokeExact(handle));
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  /** Calls one of the functions that count the names of a model. */
  static int count(MethodHandle function, long model) {
    try {
      return (int) function.invokeExact(model);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  /** Calls one of the functions that describe a name of a model. */
  static long spec(MethodHandle function, long model, int index) {
    try {
      return (long) function.invokeExact(model, index);
    } catch (Throwable e) {
      throw rethrow(e);
    }
  }

  /** Returns the text behind a pointer that a function has filled, and releases it. */
  static byte[] takeText(long text) {
    try {
      long length = Memory.getLong(text + Header.Text.LENGTH);
      return Memory.bytes(Memory.getLong(text + Header.Text.DATA), Math.toIntExact(length));
    } finally {
      textClose(text);
    }
  }
}
