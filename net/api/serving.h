/* The part of libsidecall-net.so that serves a model by the Open Inference Protocol, over HTTP and
 * gRPC. serving/ is the only user; see net.h for the rules of the whole interface.
 *
 * The server calls the model through the C ABI, like any program. What the C ABI lacks, it asks of
 * the service that it is given; the threads of the server call these functions. No function may
 * throw. */
#pragma once

#include <sidecall/sidecall.h>

#include "net.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sidecall_net_server sidecall_net_server;

/* The functions of sidecall.h that the server calls. libsidecall loads libsidecall-net.so, which
 * therefore does not link against it and gets the addresses. */
typedef struct sidecall_functions {
  decltype(&sidecall_model_take_call) model_take_call;
  decltype(&sidecall_model_give_call) model_give_call;
  decltype(&sidecall_model_id) model_id;
  decltype(&sidecall_call_close) call_close;
  decltype(&sidecall_call_copy_input) call_copy_input;
  decltype(&sidecall_call_expected_ns) call_expected_ns;
  decltype(&sidecall_call_run) call_run;
  decltype(&sidecall_call_cancel) call_cancel;
  decltype(&sidecall_call_error) call_error;
  decltype(&sidecall_call_output) call_output;
  decltype(&sidecall_queue_open) queue_open;
  decltype(&sidecall_queue_handle) queue_handle;
  decltype(&sidecall_queue_submit) queue_submit;
  decltype(&sidecall_queue_take) queue_take;
  decltype(&sidecall_queue_arm) queue_arm;
  decltype(&sidecall_queue_close) queue_close;
  decltype(&sidecall_status_name) status_name;
  decltype(&sidecall_text_close) text_close;
} sidecall_functions;

typedef struct sidecall_net_service {
  const sidecall_functions* library;
  const sidecall_model* model;

  /* Of the model. The texts live as long as the server. NULL: the model does not have it. */
  const char* name;
  const char* version;
  const char* contract;
  const sidecall_net_tensor* inputs; /* as in metadata */
  size_t num_inputs;
  const sidecall_net_tensor* outputs;
  size_t num_outputs;
  int32_t has_records;   /* 1 if the model takes records */
  int32_t logs_requests; /* 1: `log` gets an event of level 0 for each request */
  int32_t is_verified;   /* 1 if the golden rows of the contract passed */
  /* 1 if a run may use the calling thread until it ends, 0 if it waits for another process. */
  int32_t is_local;
  int32_t num_threads; /* if is_local is 1: how many threads execute submitted runs */
  /* 1 if a run may be repeated, because it has no side effects. */
  int32_t is_repeatable;

  void* context; /* passed to the functions below that take one */
  /* Whether runs can be executed now. */
  int32_t (*is_ready)(void* context);
  /* How many of the processes that execute runs were killed because they hung; -1 if runs are
   * executed in this process. */
  int64_t (*num_hung)(void* context);
  /* Receives events. `facts` are members of a JSON object, without braces; "" for none. */
  void (*log)(void* context, int32_t level, const char* event, const char* facts);
  /* Fails with PEER_DIED if this process has begun to end. Then no result can be trusted. */
  int32_t (*end_of_process)(sidecall_error* err);

  /* Called if an element of an input is missing. Sets *out_number to the number that stands for a
   * missing value in an int64 tensor. Fails if the element cannot be missing. */
  int32_t (*missing_number)(void* context, int32_t input, int64_t element, int64_t* out_number,
                            sidecall_error* err);
  /* Sets the inputs of the next run: records as JSON text. Sets *out_is_list to 1 if they are a
   * list. */
  int32_t (*set_records)(sidecall_call* call, const char* json, size_t bytes, int32_t* out_is_list,
                         sidecall_error* err);
  /* The results of the last run as JSON text, in the form of the records. The caller closes it. */
  int32_t (*records_of)(sidecall_call* call, int32_t is_list, sidecall_text** out,
                        sidecall_error* err);
} sidecall_net_service;

typedef struct sidecall_net_server_options {
  int32_t num_threads;
  int32_t max_connections;
  int32_t max_connections_per_client; /* with one IP address */
  uint64_t max_request_bytes;
  uint64_t max_response_bytes;
  uint64_t max_memory_bytes; /* that requests and answers of all clients take */
  int32_t start_later;       /* 1: connections are accepted only after `start` */
  int64_t timeout_ns;        /* the deadline of runs that have none */
  /* For a server that executes runs in this process: it is not ready if runs wait and no run has
   * ended for this long. */
  int64_t unready_after_ns;
} sidecall_net_server_options;

typedef struct sidecall_net_server_api {
  const char* version; /* of the library, as VERSION has it */

  /* Listens at an address (net/PROTOCOL.md) and serves until `close`. Copies `service`. */
  int32_t (*open)(const char* at, const sidecall_net_service* service,
                  const sidecall_net_server_options* options, sidecall_net_server** out,
                  sidecall_net_error* err);
  /* Accepts connections. Does nothing if it does so already. */
  int32_t (*start)(sidecall_net_server* server, sidecall_net_error* err);
  /* Accepts no more connections, tells clients to go elsewhere, and waits for the requests that
   * have begun, at most until `deadline`. Returns whether all have been answered. */
  int32_t (*drain)(sidecall_net_server* server, int64_t deadline);
  /* A descriptor that becomes readable when the server has ended by itself. */
  int32_t (*ended_fd)(const sidecall_net_server* server);
  /* Where the server listens and what it has done, as JSON. Release it with free(). */
  char* (*status)(const sidecall_net_server* server);
  /* Ends all connections and threads. */
  void (*close)(sidecall_net_server* server);
} sidecall_net_server_api;

__attribute__((visibility("default"))) const sidecall_net_server_api* sidecall_net_serving(void);

#ifdef __cplusplus
}
#endif
