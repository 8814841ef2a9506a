/* The interface of libsidecall-net.so, which holds the network route and the libraries that it
 * needs (libcurl, nghttp2, Mbed TLS). libsidecall loads it when the first http: or grpc: URI is
 * opened; engines/oip is the only user.
 *
 * Only C types cross this interface, and no exception does: the two libraries may be built with
 * different C++ libraries. Both must have the same version, so nothing here needs to stay
 * compatible.
 *
 * Status values are those of sidecall.h. Functions that can fail return SIDECALL_OK or a status,
 * and fill `err` on failure. Times are in nanoseconds of CLOCK_MONOTONIC. All functions may be
 * called from any thread, but a call is used by one thread at a time; only `cancel` may come from
 * another thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sidecall_net_client sidecall_net_client;
typedef struct sidecall_net_call sidecall_net_call;
typedef struct sidecall_net_replica sidecall_net_replica; /* one of the servers of a client */

typedef struct sidecall_net_error {
  int32_t status;
  char message[1024]; /* one line in UTF-8, cut if it is longer */
  /* The faults of single values that a server of sidecall reported: a JSON object with "num_faults"
   * and the list "faults" (net/PROTOCOL.md), or NULL. Release it with free(). */
  char* faults;
} sidecall_net_error;

typedef struct sidecall_net_tensor {
  const char* name;
  int32_t dtype; /* SIDECALL_DTYPE_* */
  int32_t rank;
  const int64_t* dims;    /* -1 for a free dimension, in metadata only */
  const void* data;       /* the elements, or the bytes of all strings; NULL in metadata. May be
                           * unaligned in answers */
  uint64_t bytes;         /* of `data` */
  const int64_t* offsets; /* of strings: string i is data[offsets[i]] to data[offsets[i + 1]] */
} sidecall_net_tensor;

typedef struct sidecall_net_tensors {
  const sidecall_net_tensor* items;
  size_t count;
  const char* model_id; /* that the server announced with them; "" if it did not */
} sidecall_net_tensors;

/* What a server reports about its model. */
typedef struct sidecall_net_metadata {
  sidecall_net_tensors inputs, outputs;
  const char* contract; /* NULL if the server has none */
  const char*
      repeatable; /* "yes" or "no" if the server tells whether a run may be executed twice */
} sidecall_net_metadata;

typedef struct sidecall_net_api {
  const char* version;        /* of the library, as VERSION has it */
  const char* interface_hash; /* of net.h and serving.h, as CMakeLists.txt makes it */

  /* Sets the name and the version of the bundled library with this index, which counts from 0.
   * Returns 0 if there is no such library. The texts stay valid. */
  int32_t (*library)(int32_t index, const char** out_name, const char** out_version);
  /* The file of the certificate authorities that are trusted if a URI has no `ca`; "" if there is
   * no such file. The process may have no right to read it. */
  const char* (*default_ca)(void);

  /* Reads a URI (net/PROTOCOL.md). Sends nothing yet. */
  int32_t (*open)(const char* uri, sidecall_net_client** out_client, sidecall_net_error* err);
  /* Close the calls of the client first. Does not wait for the server. */
  void (*close)(sidecall_net_client* client);

  /* The name of the model, and the value of `contract` in the query (NULL if it is absent). Valid
   * until the client is closed. */
  const char* (*model)(const sidecall_net_client* client);
  const char* (*contract_path)(const sidecall_net_client* client);

  /* Asks all servers whether the model is ready, and for its metadata. Returns the metadata of the
   * first server that has the model; it stays valid until the client is closed. Until this function
   * has succeeded once, only one thread at a time may call it. */
  int32_t (*describe)(sidecall_net_client* client, int64_t deadline, sidecall_net_metadata* out,
                      sidecall_net_error* err);

  /* Checks each server step by step, for diagnosis, and calls `on_step` for each step: `server` is
   * the label of the server, or for the step "name" the name of a host. The steps are "name",
   * "connection", "tls" (if the URI asks for it), "live", "ready" and "metadata". No step of a
   * server follows one that failed. `status` is SIDECALL_OK or the error; `text` has the details.
   * The texts are valid during the function only. Call it before `describe`. */
  int32_t (*probe)(sidecall_net_client* client, int64_t deadline,
                   void (*on_step)(void* context, const char* server, const char* step,
                                   int32_t status, const char* text),
                   void* context, sidecall_net_error* err);

  /* Returns a server that has the model, but gets no runs yet because it was not verified; NULL if
   * there is none. The caller verifies it with a call for this server, and then closes the replica:
   * with `is_verified` 1 the server gets runs from now on, with 0 it is checked again later. */
  int32_t (*next_replica)(sidecall_net_client* client, sidecall_net_replica** out_replica,
                          sidecall_net_error* err);
  /* For messages: "a:8000 (10.0.0.1)". Valid until the replica is closed. */
  const char* (*replica_label)(const sidecall_net_replica* replica);
  /* How many servers the client knows. */
  int32_t (*num_replicas)(const sidecall_net_client* client);
  void (*close_replica)(sidecall_net_replica* replica, int32_t is_verified);
  /* Whether check has something to do, now or later. Takes a few nanoseconds. */
  int32_t (*needs_check)(const sidecall_net_client* client);
  /* Asks servers which model they have, if their next check is due: servers that are not verified,
   * and servers whose runs failed as if they had another model. Afterwards next_replica returns the
   * servers that have the model and are not verified. Returns when to call this function again;
   * INT64_MAX for never. One thread at a time. */
  int64_t (*check)(sidecall_net_client* client, int64_t deadline);

  /* `replica`: the server that gets all runs of the call; close it after the call. NULL: each run
   * goes to one of the verified servers. */
  int32_t (*open_call)(sidecall_net_client* client, const sidecall_net_replica* replica,
                       sidecall_net_call** out_call, sidecall_net_error* err);
  /* Cancels a run that is under way. */
  void (*close_call)(sidecall_net_call* call);

  /* Starts a run; `outputs` are the outputs that the answer must have, without data. Their shapes
   * limit the size of the answer; -1 is a dimension that is not known. Copies the inputs and never
   * waits. The previous run must be over or cancelled. `may_repeat`: 1 if the run may be sent again
   * although a server may have executed it. `tells_deadline`: 0 if the deadline is not the
   * caller's, so that the server uses its own. `waits_next`: 1 if this thread calls `wait` next;
   * then it may send the run there, without another thread. */
  int32_t (*send)(sidecall_net_call* call, const sidecall_net_tensor* inputs, size_t num_inputs,
                  const sidecall_net_tensor* outputs, size_t num_outputs, int64_t deadline,
                  int32_t tells_deadline, int32_t may_repeat, int32_t waits_next,
                  sidecall_net_error* err);
  /* Waits until the run is over, it was cancelled, or `until`. Returns whether it is over: then
   * `take` has its outcome. A run whose deadline passes ends with TIMEOUT. If the answer comes from
   * another model, sends the run to another server and goes on waiting. */
  int32_t (*wait)(sidecall_net_call* call, int64_t until);
  /* The outputs of the run, in the order of `outputs`; valid until `release`. */
  int32_t (*take)(sidecall_net_call* call, sidecall_net_tensors* out, sidecall_net_error* err);
  /* Frees the answer of a run, also if it arrives later. No other thread may wait meanwhile. */
  void (*release)(sidecall_net_call* call);
  /* Wakes `wait`, and tells the server that no one waits for the answer. */
  void (*cancel)(sidecall_net_call* call);
  /* From the next send on, the event descriptor `fd` becomes readable when a run ends, is answered
   * by another model, or is cancelled. With `also_now`, also for the present run. The descriptor
   * must stay open until the call is closed. */
  void (*notify)(sidecall_net_call* call, int fd, int32_t also_now);
  /* Sets the function that is called, on any thread, for the same events; NULL for none. When
   * `listen` has returned, the function that was set before is not called any more. `on_event` must
   * be quick and must not use the call. */
  void (*listen)(sidecall_net_call* call, void (*on_event)(void* context), void* context);
} sidecall_net_api;

/* The only exported function. */
__attribute__((visibility("default"))) const sidecall_net_api* sidecall_net(void);

#ifdef __cplusplus
}
#endif
