/* server.h: serve a model, or a function, to other processes of this host over shared memory. Clients open the same
 * address: sidecall_model_open("shm:fraud", ...). The rules at the top of sidecall.h hold here too.
 *
 *   sidecall_server *server;
 *   sidecall_server_open("shm:fraud", model, NULL, &server, &err);     // listens; threads of its own do the work
 *   ...wait for SIGTERM...
 *   sidecall_server_drain(server, 5 * 1000000000LL, &err);             // finish what was taken, accept nothing more
 *   sidecall_server_close(server);
 *
 * The bytes and states between the two processes are specified in shm/PROTOCOL.md. Linux only: elsewhere open fails with UNSUPPORTED.
 */
#ifndef SIDECALL_SERVER_H
#define SIDECALL_SERVER_H

#include <sidecall/sidecall.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sidecall_server sidecall_server;

#define SIDECALL_COPY_AUTO 0            /* inputs are read in place where that is harmless whatever a client does; else copied first */
#define SIDECALL_COPY_ALWAYS 1          /* always copied first */

/* What happened, for logs. `level` is 0 debug, 1 info, 2 warning, 3 error; `json` is one object
 * on one line, with "event" and what belongs to it, never a value of the data.
 *
 * Events wait in a queue, and a thread that does nothing else calls the function, one event at a
 * time. So a callback that blocks stops neither calls nor admission nor sidecall_server_drain.
 * While 1024 events wait, further ones are dropped; the event "log.dropped" then has their
 * number ("lines"), and so has the status ("log_dropped"). Warnings and errors are also limited
 * for each user, because clients can provoke them: 10 of one event at once, then one a second.
 * The event "log.suppressed" has the number of the rest.
 *
 * sidecall_server_close and sidecall_supervisor_close wait at most 0.2 s until the queue is
 * empty. A callback that blocks for longer may still run when they return, so its context must
 * live on. It must not call back into the server. */
typedef void (*sidecall_log)(void *context, int32_t level, const char *json);

/* A ready-made log: writes each event as a line to a descriptor, "2026-11-25T03:10:55.123Z info
 * server.listening path=..." or, as JSON, the object with "time" and "level" before the rest.
 * `context` is a sidecall_log_lines that lives as long as the server.
 *
 * It queues the line and never blocks; a thread for each descriptor writes. The descriptor must
 * stay open until the server is closed or sidecall_log_flush has returned. Lines of several
 * threads and processes stay whole: where the descriptor is no regular file, a line of more than
 * 4096 bytes loses the middle of its longest text. A line that cannot be written is
 * lost.   Since 0.1. */
typedef struct sidecall_log_lines {
  uint32_t struct_size;
  int32_t fd;                 /* 2, standard error, by default */
  int32_t as_json;            /* 0 or 1 */
  int32_t least_level;        /* events below it are left out; 1, info, by default */
} sidecall_log_lines;

/* Fills `lines` with the defaults and sets struct_size. NULL is fine.   Since 0.1. */
#define sidecall_log_lines_init(lines) sidecall_log_lines_init_sized((lines), sizeof(sidecall_log_lines))
SIDECALL_API void sidecall_log_lines_init_sized(sidecall_log_lines *lines, size_t size);

SIDECALL_API void sidecall_log_line(void *context, int32_t level, const char *json);

/* Waits until the lines of sidecall_log_line are written, at most timeout_ns (0 or more), and
 * drops those that still wait then. For the end of a program: what waits when a process exits is
 * lost.   Since 0.1. */
SIDECALL_API void sidecall_log_flush(int64_t timeout_ns);

typedef struct sidecall_server_options {
  uint32_t struct_size;
  int32_t num_threads;        /* that run the model; 0 is one. Each owns its share of the connections */
  int32_t copy_inputs;        /* SIDECALL_COPY_* */
  const uint32_t *allow_uids; /* users admitted besides the server's own and root */
  int32_t num_allow_uids;
  int32_t max_connections;    /* 0 is 1024 */
  int64_t group;              /* id of a group whose members are admitted and may reach the socket; -1 for none */
  int32_t max_connections_per_user; /* 0 is 512 */
  int32_t spin_us;            /* how long an idle thread polls before it sleeps: -1 adapts, 0 never polls. SIDECALL_SPIN_US wins */
  int64_t drain_ns;           /* what calls that run are given when the parent's control socket hangs up; 0 is 10 s */
  uint64_t max_request_bytes; /* of one call; 0 is 256 MiB */
  uint64_t max_response_bytes;
  uint64_t max_memory_bytes;  /* of the slots of all connections; larger answers and private copies do not count; 0 is 4 GiB */
  sidecall_log log;           /* or NULL */
  void *log_context;
} sidecall_server_options;

/* Fills `options` with the defaults and sets struct_size. NULL is fine.   Since 0.1. */
#define sidecall_server_options_init(options) sidecall_server_options_init_sized((options), sizeof(sidecall_server_options))
SIDECALL_API void sidecall_server_options_init_sized(sidecall_server_options *options, size_t size);

/* Serves `model` at `at` until close. The model stays open as long as the server needs it; the handle may be closed at once.
 *
 * at          "shm:NAME", "shm:/path" or "shm:///path"; NULL takes the control socket of SIDECALL_FD, by which a parent process
 *             (exec:, a supervisor) hands over connections
 *
 * The socket appears when everything is ready. A path that a dead server left behind is taken over.
 * Fails with INVALID_ARGUMENT, BUSY (a living server has that address), DENIED (a folder that is not ours), UNSUPPORTED, OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_server_open(const char *at, const sidecall_model *model, const sidecall_server_options *options,
                                                  sidecall_server **out_server, sidecall_error *err);

/* ---- Serving a function ---------------------------------------------------------------------------------------- */

/* One request, valid inside the handler only. */
typedef struct sidecall_request sidecall_request;

/* Answers one request: reads its inputs, gives every output. Returns SIDECALL_OK, or a status after sidecall_request_fail (a status alone
 * gets a plain text). Called on the server's threads, by num_threads of them at once, never twice at once for one connection. */
typedef sidecall_status (*sidecall_handler)(void *context, sidecall_request *request);

typedef struct sidecall_service {
  uint32_t struct_size;
  uint32_t reserved;
  const char *signature;      /* JSON of the tensors: {"inputs": [{"name": "X", "dtype": "float32", "dims": [-1, 30], "dim_names": ["N", ""]}], "outputs": [...]};
                                 NULL derives them from the contract (docs/contract.md, "A contract without a graph") */
  size_t signature_length;
  const char *contract;       /* JSON as in docs/contract.md; NULL for tensors only */
  size_t contract_length;
  sidecall_handler handler;
  void *context;              /* handed to the handler */
} sidecall_service;

/* Makes `service` empty and sets struct_size. NULL is fine.   Since 0.1. */
#define sidecall_service_init(service) sidecall_service_init_sized((service), sizeof(sidecall_service))
SIDECALL_API void sidecall_service_init_sized(sidecall_service *service, size_t size);

/* Serves a function. Golden rows of the contract run through the handler first and must agree, as `verify` says (SIDECALL_VERIFY_*).
 * Fails as sidecall_server_open and with CONTRACT_INVALID, CONTRACT_FORMAT, VERIFICATION_FAILED, and what the handler answered.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_server_open_service(const char *at, const sidecall_service *service, int32_t verify,
                                                          const sidecall_server_options *options, sidecall_server **out_server, sidecall_error *err);

/* What the signature says of inputs and outputs: the same for every request of a service. A spec is NULL when the index is out of range; it lives as
 * long as the server.   Since 0.1. */
SIDECALL_API int32_t sidecall_request_num_inputs(const sidecall_request *request);
SIDECALL_API int32_t sidecall_request_num_outputs(const sidecall_request *request);
SIDECALL_API const sidecall_tensor_spec *sidecall_request_input_spec(const sidecall_request *request, int32_t input);
SIDECALL_API const sidecall_tensor_spec *sidecall_request_output_spec(const sidecall_request *request, int32_t output);

/* The input of that index: checked against the signature, strings checked too. Numeric data lies in memory that the client may change at any
 * moment, unless SIDECALL_COPY_ALWAYS was asked for. Fails with UNKNOWN_NAME.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_request_input(sidecall_request *request, int32_t input, sidecall_view *out_view, sidecall_error *err);

/* Memory for a numeric output of that shape, to be filled: part of the shared segment where it fits. Its contents are whatever was there before.
 * Fails with UNKNOWN_NAME, DTYPE_MISMATCH (a string output), SHAPE_MISMATCH (against the signature), OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_request_output(sidecall_request *request, int32_t output, const int64_t *dims, int32_t rank,
                                                     sidecall_view *out_view, sidecall_error *err);

/* Gives a string output: `offsets` has one entry more than there are elements. Copied. Fails as above, and with INVALID_STRING.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_request_set_strings(sidecall_request *request, int32_t output, const int64_t *dims, int32_t rank,
                                                          const char *data, const int64_t *offsets, sidecall_error *err);

/* Nanoseconds until the client's deadline; -1 without one; 0 when it has passed or the client gave up. A long-running handler looks now and then.   Since 0.1. */
SIDECALL_API int64_t sidecall_request_remaining(const sidecall_request *request);

/* Says why the request fails; the handler then returns `status`. The caller gets that status, BUSY and TIMEOUT included; NOT_RUN and PENDING
 * say nothing about a request, so the caller gets INTERNAL instead. `message` is one line for the caller; row -1, and name, expected, got NULL where they
 * do not apply.   Since 0.1. */
SIDECALL_API void sidecall_request_fail(sidecall_request *request, sidecall_status status, int64_t row, const char *name, const char *expected,
                                        const char *got, const char *message);

/* Adds an event to the server's log on behalf of the user whose request this is. It is limited
 * for that user like the server's own events (see sidecall_log), so that a client cannot fill a
 * disk. Never blocks.
 *
 * level       as of sidecall_log; events below 2 are not limited
 * event       letters a to z, digits, '.', '_' and '-', at most 64; another text is ignored
 * facts       a JSON object with what belongs to the event, or NULL
 *
 * Cannot fail.   Since 0.1. */
SIDECALL_API void sidecall_request_log(sidecall_request *request, int32_t level, const char *event, const char *facts);

/* ---- Both ------------------------------------------------------------------------------------------------------ */

/* Counters as JSON; docs/serving.md names the members. Also what `sidecall status` prints.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_server_status(const sidecall_server *server, sidecall_text **out, sidecall_error *err);

/* The same of a server in another process: of all its workers where it has several. Opens no model and loads no engine.
 *
 * at          as in sidecall_server_open, but not NULL
 * wait_ns     how long to wait for a server that is still starting; 0 does not wait
 *
 * Fails with INVALID_ARGUMENT, UNREACHABLE, DENIED, PROTOCOL, TIMEOUT (no answer within two seconds), OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_server_query(const char *at, int64_t wait_ns, sidecall_text **out, sidecall_error *err);

/* A descriptor that becomes readable when the server has nothing left to serve: drained, or the parent's control socket hung up. It belongs to
 * the server.   Since 0.1. */
SIDECALL_API int32_t sidecall_server_fd(const sidecall_server *server);

/* Accepts nothing more, answers what was taken, and closes the connections. Clients that have another server to go to do not notice.
 * Fails with TIMEOUT when calls were still running; close ends them.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_server_drain(sidecall_server *server, int64_t timeout_ns, sidecall_error *err);

/* Ends everything: waits for handlers that run, without limit. When sidecall_server_drain has
 * answered TIMEOUT, some still run: a program that must end then calls _exit(), or has a
 * watchdog. NULL is fine; cannot fail. Not from a handler.   Since 0.1. */
SIDECALL_API void sidecall_server_close(sidecall_server *server);

/* ---- Workers behind one address -------------------------------------------------------------------------------- */

/* Accepts at one address and hands each connection to the worker process that has the fewest. Workers serve with `at` NULL. */
typedef struct sidecall_supervisor sidecall_supervisor;

/* Starts without workers and without an address. Only admission, max_connections and log of `options` count.
 * Fails with INVALID_ARGUMENT, BUSY (a living server has that address), OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_supervisor_open(const char *at, const sidecall_server_options *options, sidecall_supervisor **out_supervisor,
                                                      sidecall_error *err);

/* Makes the control socket of one more worker: start it with `out_fd` inherited and SIDECALL_FD set to its number, then close `out_fd` here. `worker` is the
 * caller's number for it, not in use. The worker counts as ready once it says so; it leaves when its end of the socket closes.
 * Fails with INVALID_ARGUMENT, OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_supervisor_add(sidecall_supervisor *supervisor, int32_t worker, int32_t *out_fd, sidecall_error *err);

/* Asks a worker to drain and exit, by hanging up. Unknown numbers are ignored.   Since 0.1. */
SIDECALL_API void sidecall_supervisor_remove(sidecall_supervisor *supervisor, int32_t worker);

/* Workers that are ready.   Since 0.1. */
SIDECALL_API int32_t sidecall_supervisor_num_ready(const sidecall_supervisor *supervisor);

/* Waits up to `wait_ns` (-1 for ever) until a worker is ready, and then makes the address appear. Clients that come while no worker is
 * ready wait. Does nothing when the address is there. Fails with TIMEOUT and as sidecall_server_open.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_supervisor_listen(sidecall_supervisor *supervisor, int64_t wait_ns, sidecall_error *err);

/* Counters of all workers together as JSON, and of each under "each".   Since 0.1. */
SIDECALL_API sidecall_status sidecall_supervisor_status(sidecall_supervisor *supervisor, sidecall_text **out, sidecall_error *err);

/* Stops accepting, hangs up on every worker and removes the address. NULL is fine; cannot fail.   Since 0.1. */
SIDECALL_API void sidecall_supervisor_close(sidecall_supervisor *supervisor);

/* ---- The end of the process ------------------------------------------------------------------ */

/* Ends the process when its program does not: for handlers that never return, or that hold a
 * lock which the rest of the program needs (Python's GIL). */
typedef struct sidecall_watchdog sidecall_watchdog;

/* Waits on a thread of its own until `fd` is readable or hung up. after_ns later it ends the
 * process by _exit(exit_code), unless it was closed before. Lines of sidecall_log_line are
 * written first, for at most 0.2 s.
 *
 *   signal handler:  write(pipe_end, "", 1);  // the main loop reads the other end, drains, exits
 *   sidecall_watchdog_open(other_end, drain_ns + 2 * 1000000000LL, 4, &watchdog, &err);
 *
 * fd          is duplicated; also sidecall_server_fd
 * exit_code   0 to 255
 *
 * Fails with INVALID_ARGUMENT, OUT_OF_MEMORY.   Since 0.1. */
SIDECALL_API sidecall_status sidecall_watchdog_open(int32_t fd, int64_t after_ns, int32_t exit_code, sidecall_watchdog **out_watchdog,
                                                    sidecall_error *err);

/* From now on the process is not ended. NULL is fine; cannot fail. Does nothing in a forked
 * child, which has no such thread.   Since 0.1. */
SIDECALL_API void sidecall_watchdog_close(sidecall_watchdog *watchdog);

#ifdef __cplusplus
}
#endif
#endif
