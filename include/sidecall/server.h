/* server.h: serves a model, or a C function, to other processes of this host over shared memory, or
 * to other hosts over HTTP and gRPC. Clients open the same address:
 * sidecall_model_open("shm:fraud", ...). The rules at the top of sidecall.h apply here too.
 *
 *   sidecall_server *server;
 *   sidecall_server_open("shm:fraud", model, NULL, &server, &err);  // its own threads do the work
 *   ...wait for SIGTERM...
 *   sidecall_server_drain(server, 5 * 1000000000LL, &err);          // finish calls, accept no more
 *   sidecall_server_close(server);
 *
 * Threads: any thread may use a sidecall_server or a sidecall_supervisor, also several at once; no
 * other thread may be using it when it is closed. A sidecall_request belongs to its handler.
 *
 * Fork: a child may only close the servers, supervisors and watchdogs of its parent.
 *
 * shm/PROTOCOL.md specifies the bytes and states between the two processes, and docs/serving.md
 * describes serving as a whole. Linux only: elsewhere opening a server fails with UNSUPPORTED.
 */
#ifndef SIDECALL_SERVER_H
#define SIDECALL_SERVER_H

#include <sidecall/sidecall.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sidecall_server sidecall_server;

/* What a server does with the inputs of a request, which lie in memory that the client can write.
 * With AUTO the input of a model is read in place if no write by the client can do harm during the
 * run; otherwise it is copied first. A served function gets numeric inputs in place (see
 * sidecall_request_input). Strings are always copied, and so are bool inputs of a function. */
#define SIDECALL_COPY_AUTO 0
#define SIDECALL_COPY_ALWAYS 1          /* every input is copied first */

/* ---- Events ---------------------------------------------------------------------------------- */

/* The events of a server say, for example, that it listens, or that a client was refused. An event
 * is a JSON object with "time", "level", "event" and further facts, but never a value of the data.
 * Levels are 0 debug, 1 info, 2 warning, 3 error. The server writes events as lines
 * (server_options.log), and passes them to a queue (server_options.events).
 *
 * Writing never delays a server: at most 1024 events (1 MiB) wait to be written, and as many to be
 * taken from a queue. Further events are dropped. The event "log.dropped" gives their number in its
 * member "lines"; the status gives it in "log_dropped". Clients can provoke warnings and errors, so
 * these are also limited for each user: 10 of one event at once, then one per second. The event
 * "log.suppressed" has the number of those that were left out. */

/* How events are written as lines:
 *
 *   2026-11-25T03:10:55.123Z info server.listening path=...
 *
 * or, with as_json, as JSON objects. One thread for each descriptor writes. The descriptor must
 * stay open until the server is closed; sidecall_server_close and sidecall_supervisor_close wait
 * until all lines are written, but at most 0.2 s. Lines that several threads and processes write
 * are not mixed up. For this purpose a line of more than 4096 bytes loses the middle of its longest
 * text, unless the descriptor is a regular file. A line that cannot be written is lost. */
typedef struct sidecall_log_lines {
  uint32_t struct_size;
  int32_t fd;                 /* the descriptor to write to; the default is 2, standard error */
  int32_t as_json;            /* 1 writes JSON objects, 0 (the default) plain text */
  int32_t least_level;        /* events below this level are left out; the default is 1, info */
} sidecall_log_lines;

/* Fills `lines` with the defaults and sets struct_size. NULL is allowed; cannot fail. */
#define sidecall_log_lines_init(lines) \
  sidecall_log_lines_init_sized((lines), sizeof(sidecall_log_lines))
SIDECALL_API void sidecall_log_lines_init_sized(sidecall_log_lines *lines, size_t size);

/* Writes an event of the program beside those of its servers.
 *
 * lines       read during the call only
 * level       an event with another level than 0 to 3, or below lines->least_level, is left out
 * json        a JSON object on one line, with "event"; the line adds "time" and "level"
 *
 * Queues the line and never blocks. The descriptor must stay open until sidecall_log_flush has
 * returned. Cannot fail. Any thread. */
SIDECALL_API void sidecall_log_line(const sidecall_log_lines *lines, int32_t level,
                                    const char *json);

/* Waits up to timeout_ns (0 or more) until all lines of sidecall_log_line are written, and drops
 * the lines that are not written by then. Call it at the end of a program: lines that still wait
 * when a process exits are lost. Cannot fail. Any thread. */
SIDECALL_API void sidecall_log_flush(int64_t timeout_ns);

/* ---- Serving a model ------------------------------------------------------------------------- */

/* Over HTTP and gRPC, only num_threads, max_connections, max_connections_per_user (by IP address),
 * max_request_bytes, max_response_bytes, max_memory_bytes, log, events, events_tag, events_level,
 * start_later, timeout_ns and unready_after_ns count; the rest is in the address.
 *
 * Limits: a client gets BUSY beyond max_connections and max_connections_per_user, OUT_OF_RANGE
 * beyond max_request_bytes, and OUT_OF_MEMORY beyond max_memory_bytes and
 * max_memory_per_user_bytes. */
typedef struct sidecall_server_options {
  uint32_t struct_size;
  /* Number of threads that run the model, at most 1024; 0 is 1. Each has its share of the
   * connections. */
  int32_t num_threads;
  int32_t copy_inputs;        /* SIDECALL_COPY_* */
  /* Users that are admitted besides root and the user of the server. Read during open only. */
  const uint32_t *allow_uids;
  int32_t num_allow_uids;     /* number of elements of allow_uids */
  int32_t max_connections;    /* 0 is 1024 */
  /* Id of a group. Admits users who have this primary group, and gives the group access to the
   * socket. -1, the default, for none. */
  int64_t group;
  int32_t max_connections_per_user; /* 0 is 512 */
  /* How many microseconds an idle thread polls before it sleeps: -1, the default, adapts; 0 never
   * polls. The environment variable SIDECALL_SPIN_US takes precedence. */
  int32_t spin_us;
  /* For `at` NULL: how long running calls may continue after the parent process has closed its end
   * of the control socket; 0 is 10 s. */
  int64_t drain_ns;
  uint64_t max_request_bytes; /* inputs of one call; 0 is 256 MiB */
  /* Shared memory for the outputs of one call; 0 is 256 MiB. Larger answers, up to 2 GiB, use
   * memory of their own. */
  uint64_t max_response_bytes;
  /* How many bytes the server holds at most for all clients together; 0 is 4 GiB. Counts
   * connections and their shared memory, private copies of inputs, the state that the engine keeps
   * for each client, and, until the client has received them, answers that exceed
   * max_response_bytes. Does not count the memory that the engine uses during a run. Workers of one
   * supervisor share one limit. */
  uint64_t max_memory_bytes;
  const sidecall_log_lines *log; /* where to write events; read during open only; NULL: nowhere */
  /* Gets the events as completions; NULL for none. The program may close it at any time. */
  sidecall_queue *events;
  uint64_t events_tag;        /* any number; the completions of events have it */
  /* Like max_memory_bytes, for the clients of one user. 0, the default, is half of it if
   * allow_uids or group admit other users, and all of it otherwise. */
  uint64_t max_memory_per_user_bytes;
  /* 1: the server listens, but takes no connection before sidecall_server_start. Clients that
   * connect earlier wait. For a program that gives up rights after it has opened its sockets. */
  int32_t start_later;
  /* The lowest level of the events that `events` gets; 1, info, by default. */
  int32_t events_level;
  /* The deadline of calls that have none, counted from their arrival; 0 is 30 s. */
  int64_t timeout_ns;
  /* How long a run may take in a worker, whatever its deadline is; 0, the default, for no limit.
   * Set it for the supervisor (see sidecall_supervisor_long_runs) and for its workers. A server
   * that is not a worker refuses it, because nothing could replace its process. */
  int64_t max_run_ns;
  /* The server is not ready if calls wait while all threads of all workers have been busy with
   * their present runs for this long; 0 is 5 s. */
  int64_t unready_after_ns;
} sidecall_server_options;

/* Fills `options` with the defaults and sets struct_size. NULL is allowed; cannot fail. */
#define sidecall_server_options_init(options) \
  sidecall_server_options_init_sized((options), sizeof(sidecall_server_options))
SIDECALL_API void sidecall_server_options_init_sized(sidecall_server_options *options, size_t size);

/* Serves `model` at an address until the server is closed. Returns as soon as clients can connect.
 *
 * at          "shm:NAME", "shm:/path" or "shm:///path"; or "http://HOST:PORT", "https:",
 *             "http+unix:/path", "grpc:", "grpcs:" or "grpc+unix:" with options for TLS and tokens
 *             (net/PROTOCOL.md, "The server"), for which libsidecall-net.so is loaded.
 *             NULL serves the connections that a parent process (an exec: URI or a supervisor)
 *             hands over, through the control socket whose descriptor is in the environment
 *             variable SIDECALL_FD.
 * model       used by the server as long as necessary; the caller may close its handle at once
 * options     NULL for the defaults
 * out_server  the handle, which the caller closes with sidecall_server_close
 *
 * The socket appears when everything is ready. A socket that a dead server left is replaced.
 *
 * Errors: INVALID_ARGUMENT, BUSY (another server is running at that address), DENIED (no
 * permission, or the default folder for sockets belongs to another user), UNREACHABLE (the folder
 * cannot be used), UNSUPPORTED, OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_server_open(const char *at, const sidecall_model *model,
                                                  const sidecall_server_options *options,
                                                  sidecall_server **out_server,
                                                  sidecall_error *err);

/* ---- Serving a function ---------------------------------------------------------------------- */

/* One request. Valid until its handler returns, and only on the thread that called the handler. */
typedef struct sidecall_request sidecall_request;

/* A function of the caller that answers one request: it reads the inputs and gives every output.
 *
 * context     sidecall_service.context
 * request     used with the sidecall_request_* functions below
 *
 * Returns SIDECALL_OK. To fail, it calls sidecall_request_fail and returns the same status. If it
 * returns a failure without that call, the client gets a general message. An output that was not
 * given is an ENGINE error.
 *
 * Called by the threads of the server, by up to num_threads of them at once, but never twice at
 * once for one connection. While the server opens, the golden rows run through this function, on
 * the thread that opens the server. */
typedef sidecall_status (*sidecall_handler)(void *context, sidecall_request *request);

/* What is served: a signature, a contract, or both must be given. Texts are read during open
 * only. */
typedef struct sidecall_service {
  uint32_t struct_size;
  uint32_t reserved;
  /* The tensors as JSON:
   *   {"inputs": [{"name": "X", "dtype": "float32", "dims": [-1, 30], "dim_names": ["N", ""]}],
   *    "outputs": [...]}
   * NULL derives them from the contract (docs/contract.md, "A contract without a graph"). */
  const char *signature;
  size_t signature_length;    /* in bytes */
  const char *contract;       /* JSON as in docs/contract.md; NULL if clients use tensors only */
  size_t contract_length;     /* in bytes */
  sidecall_handler handler;   /* must not be NULL */
  void *context;              /* passed to the handler; must stay valid while the server is open */
} sidecall_service;

/* Makes `service` empty and sets struct_size. NULL is allowed; cannot fail. */
#define sidecall_service_init(service) \
  sidecall_service_init_sized((service), sizeof(sidecall_service))
SIDECALL_API void sidecall_service_init_sized(sidecall_service *service, size_t size);

/* Serves a function of the caller. If the contract has golden rows, they run through the handler
 * first, and the answers must agree with those in the contract.
 *
 * verify      SIDECALL_VERIFY_*: what happens if they disagree. The environment variable
 *             SIDECALL_VERIFY takes precedence.
 *
 * Otherwise like sidecall_server_open. Errors: those of sidecall_server_open, CONTRACT_INVALID,
 * CONTRACT_FORMAT, VERIFICATION_FAILED, and those that the handler returned for golden rows. */
SIDECALL_API sidecall_status sidecall_server_open_service(const char *at,
                                                          const sidecall_service *service,
                                                          int32_t verify,
                                                          const sidecall_server_options *options,
                                                          sidecall_server **out_server,
                                                          sidecall_error *err);

/* Return how many inputs and outputs the signature has, and describe one of them by its index from
 * 0. The answers are the same for every request of a service. A spec is NULL if the index is out of
 * range; it lives as long as the server. */
SIDECALL_API int32_t sidecall_request_num_inputs(const sidecall_request *request);
SIDECALL_API int32_t sidecall_request_num_outputs(const sidecall_request *request);
SIDECALL_API const sidecall_tensor_spec *sidecall_request_input_spec(
    const sidecall_request *request, int32_t input);
SIDECALL_API const sidecall_tensor_spec *sidecall_request_output_spec(
    const sidecall_request *request, int32_t output);

/* Fills *out_view with an input, whose type and shape have been checked against the signature.
 * Strings have been checked to be UTF-8 without NULs. The view lives until the handler returns.
 *
 * The client may change numeric data at any moment, unless the server copies inputs
 * (SIDECALL_COPY_ALWAYS). So read each value once, and check the copy. Bool inputs are always
 * copied.
 *
 * Errors: UNKNOWN_NAME (no such input). */
SIDECALL_API sidecall_status sidecall_request_input(sidecall_request *request, int32_t input,
                                                    sidecall_view *out_view, sidecall_error *err);

/* Fills *out_view with memory for a numeric output, to which the handler writes all values. The
 * memory is part of the shared memory if the output fits there. Its contents are undefined at
 * first. The view lives until the handler returns.
 *
 * dims        `rank` sizes: the shape of the output
 *
 * Errors: UNKNOWN_NAME (no such output), DTYPE_MISMATCH (a string output), SHAPE_MISMATCH (does not
 * fit the signature or the shapes of the inputs), OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_request_output(sidecall_request *request, int32_t output,
                                                     const int64_t *dims, int32_t rank,
                                                     sidecall_view *out_view, sidecall_error *err);

/* Gives a string output, by copying it.
 *
 * dims        `rank` sizes: the shape of the output
 * data        the strings back to back as UTF-8, without NULs
 * offsets     one entry more than there are elements, in bytes of `data`, the first one 0; see
 *             sidecall_view
 *
 * Errors: UNKNOWN_NAME (no such output), DTYPE_MISMATCH (not a string output), SHAPE_MISMATCH,
 * INVALID_ARGUMENT (offsets that decrease or do not start at 0), INVALID_STRING, OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_request_set_strings(sidecall_request *request, int32_t output,
                                                          const int64_t *dims, int32_t rank,
                                                          const char *data, const int64_t *offsets,
                                                          sidecall_error *err);

/* Returns the nanoseconds until the client's deadline: -1 without a deadline, 0 if it has passed,
 * the client gave up, or the server is ending. A handler that runs for long should call this
 * function now and then, and return a failure when the answer is 0. */
SIDECALL_API int64_t sidecall_request_remaining(const sidecall_request *request);

/* Says why the request fails. The handler must then return `status`.
 *
 * status      the client gets this status, for example INVALID_ARGUMENT, BUSY or TIMEOUT. Instead
 *             of OK and NOT_RUN, which say nothing about a request, it gets INTERNAL.
 * row         the row that is at fault, or -1
 * name        the feature, input or output that is at fault, or NULL
 * expected    what was expected, or NULL
 * got         what was found in its place, or NULL; as in sidecall_fault
 * message     one line for the client; NULL for a general text
 *
 * The texts are copied. Cannot fail. */
SIDECALL_API void sidecall_request_fail(sidecall_request *request, sidecall_status status,
                                        int64_t row, const char *name, const char *expected,
                                        const char *got, const char *message);

/* Adds an event to the server's log on behalf of the user who sent this request. Events are limited
 * for that user like the server's own (see "Events"), so that a client cannot fill a disk.
 *
 * level       0 to 3; events below 2 are not limited
 * event       1 to 64 letters a to z, digits, '.', '_' and '-'; an event with another name is
 *             ignored
 * facts       a JSON object with further members of the event, or NULL; another text becomes the
 *             member "message"
 *
 * Never blocks. Cannot fail. */
SIDECALL_API void sidecall_request_log(sidecall_request *request, int32_t level, const char *event,
                                       const char *facts);

/* Lets a server that was opened with start_later take connections. Does nothing if it does so
 * already.
 *
 * Errors: INVALID_ARGUMENT, UNREACHABLE (the server has ended), OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_server_start(sidecall_server *server, sidecall_error *err);

/* ---- HTTP and gRPC in front of a server ------------------------------------------------------ */

/* Serves over HTTP or gRPC what `backend` serves. All calls run on the threads of `backend`; this
 * server reads requests and writes answers. So one set of threads answers calls over shared memory,
 * HTTP and gRPC alike.
 *
 * backend         a server at an shm: address, or one of sidecall_server_open_service. It must be
 *                 closed after this server
 * at              an address for HTTP or gRPC, as for sidecall_server_open. With the option
 *                 repeatable=yes clients may send a run again that may have been executed; for a
 *                 function whose runs have no effect but their answer
 * options         as for sidecall_server_open over HTTP and gRPC. num_threads threads share the
 *                 connections
 * out_server      closed with sidecall_server_close
 *
 * For the end, drain `backend`: it then drains all servers in front of it as well, all at the same
 * time, and ends after them. Or drain this server alone.
 *
 * Errors: those of sidecall_server_open, and UNSUPPORTED (`backend` serves a file over HTTP or gRPC
 * itself). */
SIDECALL_API sidecall_status sidecall_server_open_frontend(sidecall_server *backend, const char *at,
                                                           const sidecall_server_options *options,
                                                           sidecall_server **out_server,
                                                           sidecall_error *err);

/* ---- Status and end of a server -------------------------------------------------------------- */

/* Returns the counters of a server as JSON; docs/serving.md lists the members. `sidecall status`
 * prints the same. The caller closes *out.
 *
 * Errors: OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_server_status(const sidecall_server *server,
                                                    sidecall_text **out, sidecall_error *err);

/* Returns the counters of a server in another process, and of all its workers if it has several, as
 * JSON. Opens no model and loads no engine. The caller closes *out.
 *
 * at          as for sidecall_server_open, but not NULL
 * wait_ns     how long to wait for a server that is still starting: 0 does not wait, -1 waits
 *             forever
 *
 * Errors: INVALID_ARGUMENT, UNREACHABLE, DENIED, PROTOCOL, TIMEOUT (no answer within two seconds
 * after wait_ns), OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_server_query(const char *at, int64_t wait_ns,
                                                   sidecall_text **out, sidecall_error *err);

/* Returns a descriptor that becomes readable when the server has ended: after a drain, or after the
 * parent process closed the control socket. It belongs to the server: do not read or close it. -1
 * for NULL. */
SIDECALL_API int32_t sidecall_server_fd(const sidecall_server *server);

/* Accepts nothing more, answers the calls that were taken, closes the connections, and returns when
 * that is done. Clients that can reach another server at the address do not notice.
 *
 * timeout_ns  how long calls may take: 0 or more, or -1 for as long as they need. After that time
 *             handlers that still run are asked to stop (sidecall_request_remaining is 0), and
 *             their connections are closed. Over HTTP and gRPC a connection without a request stays
 *             open for 0.1 s, because one may be on its way.
 *
 * Errors: TIMEOUT (calls were still running, or connections still open; sidecall_server_close waits
 * for them). */
SIDECALL_API sidecall_status sidecall_server_drain(sidecall_server *server, int64_t timeout_ns,
                                                   sidecall_error *err);

/* Ends the server and releases the handle. Handlers that still run are asked to stop, and this
 * function waits for them, without limit. If sidecall_server_drain has answered TIMEOUT, some still
 * run: a program that must end then calls _exit(), or has a watchdog (below). Must not be called
 * from a handler. NULL is allowed; cannot fail.
 *
 * A program may also exit without closing the server. Once exit() has begun or main has returned,
 * runs on ONNX Runtime end with PEER_DIED, because the exit destroys the objects that they use. */
SIDECALL_API void sidecall_server_close(sidecall_server *server);

/* ---- Workers behind one address -------------------------------------------------------------- */

/* Accepts connections, usually at one address, and hands each to the worker process that has the
 * fewest. The caller starts the workers, which serve with `at` NULL (sidecall_server_open). */
typedef struct sidecall_supervisor sidecall_supervisor;

/* Opens a supervisor without workers. The address appears later, by sidecall_supervisor_listen.
 *
 * at              shm:NAME or shm:///path; NULL for none, if sidecall_supervisor_open_frontend gives
 *                 the workers their addresses
 * options         only allow_uids, num_allow_uids, group, max_connections (of all workers
 *                 together), max_run_ns, unready_after_ns, log and the options of events are used;
 *                 NULL for the defaults
 * out_supervisor  the handle, which the caller closes with sidecall_supervisor_close
 *
 * Errors: INVALID_ARGUMENT, BUSY (another server is running at that address), OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_supervisor_open(const char *at,
                                                      const sidecall_server_options *options,
                                                      sidecall_supervisor **out_supervisor,
                                                      sidecall_error *err);

/* Makes the control socket of one more worker.
 *
 * worker      the caller's number for the worker: 0 or more, and not in use
 * out_fd      the worker's end of the socket; -1 on failure. Start the worker so that it inherits
 *             this descriptor (clear FD_CLOEXEC in the child), and set SIDECALL_FD in the
 *             environment of the worker to the number of the descriptor. Then close the descriptor
 *             in this process.
 *
 * The worker is ready when it reports so over the socket, which sidecall_server_open does. If the
 * supervisor lacks a descriptor at that moment, the worker becomes ready later. It is removed when
 * its end of the socket closes.
 *
 * Errors: INVALID_ARGUMENT, OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_supervisor_add(sidecall_supervisor *supervisor,
                                                     int32_t worker, int32_t *out_fd,
                                                     sidecall_error *err);

/* Asks a worker to drain and exit, by closing its control socket. Unknown numbers are ignored.
 * Cannot fail. */
SIDECALL_API void sidecall_supervisor_remove(sidecall_supervisor *supervisor, int32_t worker);

/* Returns the number of workers that are ready; 0 for NULL. */
SIDECALL_API int32_t sidecall_supervisor_num_ready(const sidecall_supervisor *supervisor);

/* Returns 1 if this worker has been ready, even if it has ended since then. Returns 0 otherwise,
 * after sidecall_supervisor_remove, and for NULL. */
SIDECALL_API int32_t sidecall_supervisor_was_ready(const sidecall_supervisor *supervisor,
                                                   int32_t worker);

/* Returns the number of a worker that hangs: it got a connection at least 15 s ago and has answered
 * none since then. The caller ends such a worker, and starts another one; the connections that wait
 * for it then go to the others. -1 if no worker hangs, and for NULL. */
SIDECALL_API int32_t sidecall_supervisor_hung(sidecall_supervisor *supervisor);

/* Returns the number of a worker with a run that exceeds sidecall_server_options.max_run_ns; -1 if
 * there is none, and for NULL. The caller ends such a worker with SIGKILL at once, calls
 * sidecall_supervisor_remove, and starts another one. The client of the run gets TIMEOUT; clients
 * of other runs that the worker had taken get PEER_DIED.
 *
 * out_run_ns    how long that run has taken; 0 if there is none
 * out_num_late  the number of workers with a run that has used half of the limit but does not
 *               exceed it: a program may start a spare worker because of them
 * out_next_ns   how long the answer stays the same at least; -1 without a limit
 *
 * Each of these may be NULL. Does not wait; cannot fail. */
SIDECALL_API int32_t sidecall_supervisor_long_runs(sidecall_supervisor *supervisor,
                                                   int64_t *out_run_ns, int32_t *out_num_late,
                                                   int64_t *out_next_ns);

/* Waits until a worker is ready, and then makes the address appear. Does nothing if the address is
 * there already. If no worker is ready when a client connects later, the client waits.
 *
 * wait_ns     0 or more, or -1 to wait forever
 *
 * Errors: TIMEOUT, and those of sidecall_server_open. */
SIDECALL_API sidecall_status sidecall_supervisor_listen(sidecall_supervisor *supervisor,
                                                        int64_t wait_ns, sidecall_error *err);

/* Like sidecall_server_open_frontend, with the workers as the backend. Call it when a worker is
 * ready: after sidecall_supervisor_listen. The server tells that it is ready as long as a worker
 * is. Close it before the supervisor.
 *
 * Errors: those of sidecall_server_open_frontend, and TIMEOUT (no worker became ready within 30
 * s). */
SIDECALL_API sidecall_status sidecall_supervisor_open_frontend(sidecall_supervisor *supervisor,
                                                               const char *at,
                                                               const sidecall_server_options *options,
                                                               sidecall_server **out_server,
                                                               sidecall_error *err);

/* Returns the counters of all workers together as JSON, and those of each worker under "each". The
 * caller closes *out.
 *
 * Errors: OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_supervisor_status(sidecall_supervisor *supervisor,
                                                        sidecall_text **out, sidecall_error *err);

/* Stops accepting, closes the control socket of every worker, removes the address and releases the
 * handle. The workers then drain and exit; the caller waits for them. NULL is allowed; cannot
 * fail. */
SIDECALL_API void sidecall_supervisor_close(sidecall_supervisor *supervisor);

/* ---- The end of the process ------------------------------------------------------------------ */

/* Ends the process if its program does not: for handlers that never return, or that hold a lock
 * which the rest of the program needs (Python's GIL). */
typedef struct sidecall_watchdog sidecall_watchdog;

/* Starts a thread that waits until `fd` is readable or hung up. after_ns later it ends the process
 * with _exit(exit_code), unless the watchdog was closed before. Lines of sidecall_log_line are
 * written first, for at most 0.2 s.
 *
 *   signal handler:  write(write_end, "", 1);  // the main loop polls read_end, drains and exits
 *   sidecall_watchdog_open(read_end, drain_ns + 2 * 1000000000LL, 4, &watchdog, &err);
 *
 * fd            is duplicated. Do not read from it: once it is readable it must stay so. The
 *               descriptor of sidecall_server_fd works too.
 * after_ns      0 or more
 * exit_code     0 to 255
 * out_watchdog  the handle, which the caller closes with sidecall_watchdog_close
 *
 * Errors: INVALID_ARGUMENT, OUT_OF_MEMORY. */
SIDECALL_API sidecall_status sidecall_watchdog_open(int32_t fd, int64_t after_ns, int32_t exit_code,
                                                    sidecall_watchdog **out_watchdog,
                                                    sidecall_error *err);

/* Stops the watchdog, which then does not end the process, and releases the handle. In a forked
 * child, which does not have the thread, it does nothing. NULL is allowed; cannot fail. */
SIDECALL_API void sidecall_watchdog_close(sidecall_watchdog *watchdog);

#ifdef __cplusplus
}
#endif
#endif
