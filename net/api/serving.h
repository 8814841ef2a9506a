/* The part of libsidecall-net.so that serves a model by the Open Inference Protocol, over HTTP and
 * gRPC. serving/ is the only user; see net.h for the rules of the whole interface.
 *
 * The server knows tensors, texts and addresses. Everything else it leaves to the service that it
 * is given: a table of functions, which the threads of the server call. A call belongs to one
 * thread at a time, except for `cancel`. No function may throw. */
#pragma once

#include "net.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sidecall_net_server sidecall_net_server;
typedef struct sidecall_service_call sidecall_service_call;   /* belongs to the service */
typedef struct sidecall_service_queue sidecall_service_queue; /* belongs to the service */

typedef struct sidecall_net_service {
  void* context; /* passed to the functions below */

  /* The model. The texts live as long as the server; one that the model does not have is NULL. */
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
  /* Whether runs can be executed now. */
  int32_t (*is_ready)(void* context);
  /* How many of the processes that execute runs were killed because they hung; -1 if runs are
   * executed in this process. */
  int64_t (*num_hung)(void* context);
  /* The id of the model that runs now; "" if there is none. Stays valid. */
  const char* (*model_id)(void* context);

  /* `max_fault_bytes` limits what faults_of() returns. */
  int32_t (*open_call)(void* context, size_t max_fault_bytes, sidecall_service_call** out,
                       sidecall_net_error* err);
  /* May be called during a run, which then ends by itself. */
  void (*close_call)(sidecall_service_call* call);

  /* Set the inputs of the next run: `count` tensors, or records as JSON text. They are copied. */
  int32_t (*set_tensors)(sidecall_service_call* call, const sidecall_net_tensor* inputs,
                         size_t count, sidecall_net_error* err);
  /* Called if an element of an input is missing. Sets *out_number to the number that stands for a
   * missing value in an int64 tensor. Fails if the element cannot be missing. */
  int32_t (*missing_at)(sidecall_service_call* call, const char* input, int64_t element,
                        int64_t* out_number, sidecall_net_error* err);
  int32_t (*set_records)(sidecall_service_call* call, const char* json, size_t bytes,
                         sidecall_net_error* err);
  /* Runs the call and waits for it, at most timeout_ns; -1 for no limit. */
  int32_t (*run)(sidecall_service_call* call, int64_t timeout_ns, sidecall_net_error* err);
  void (*cancel)(sidecall_service_call* call);
  /* The outcome of the last run that `take` has reported. */
  int32_t (*outcome_of)(sidecall_service_call* call, sidecall_net_error* err);

  /* A completion queue for runs that no thread waits for. It belongs to one thread. See part 5 of
   * <sidecall/sidecall.h>. */
  int32_t (*open_queue)(void* context, sidecall_service_queue** out, sidecall_net_error* err);
  void (*close_queue)(sidecall_service_queue* queue); /* after its calls */
  /* Returns a descriptor that, after `arm`, becomes readable when `take` should be called. -1 if no
   * descriptor is left. */
  int32_t (*handle_of)(sidecall_service_queue* queue);
  int32_t (*submit)(sidecall_service_queue* queue, sidecall_service_call* call, int64_t timeout_ns,
                    void* tag, sidecall_net_error* err);
  /* Writes the tags of runs that are over, and returns their number. Never waits. */
  size_t (*take)(sidecall_service_queue* queue, void** tags, size_t capacity);
  /* Returns for how many milliseconds the thread may sleep before it calls `take` again. 0: it must
   * not sleep. -1: until the descriptor is readable. */
  int32_t (*arm)(sidecall_service_queue* queue);

  /* The results of the last run that succeeded, valid until the next one or `make_idle`: all
   * outputs in their order, or the answers as JSON text in the form of the records. */
  int32_t (*outputs_of)(sidecall_service_call* call, sidecall_net_tensors* out,
                        sidecall_net_error* err);
  int32_t (*records_of)(sidecall_service_call* call, const char** out_json, size_t* out_bytes,
                        sidecall_net_error* err);
  /* Returns to the pools the resources that only a run needs, and returns 1. Returns 0 if a run
   * still uses the call; then it can only be closed. */
  int32_t (*make_idle)(sidecall_service_call* call);
  /* The faults of the last function that failed, as members of a JSON object, without braces:
   * "num_faults" and the list "faults"; "" if it has none. Valid until the next function is
   * called. */
  const char* (*faults_of)(sidecall_service_call* call);

  /* Receives events. `facts` are members of a JSON object, without braces; "" for none. */
  void (*log)(void* context, int32_t level, const char* event, const char* facts);
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
