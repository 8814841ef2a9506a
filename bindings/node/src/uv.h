// Declares the few functions of libuv that completions.cpp needs. The node executable
// provides them, but the npm package of the Node-API headers does not declare them, and Debian's
// uv.h is not installed on every build machine. They are part of libuv's stable ABI
// (docs/decisions/011-waiting-for-runs.md).
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct uv_loop_s;
struct uv_handle_s;

size_t uv_handle_size(int type);
const char* uv_handle_type_name(int type);
void uv_handle_set_data(uv_handle_s* handle, void* data);
void* uv_handle_get_data(const uv_handle_s* handle);
int uv_idle_init(uv_loop_s* loop, uv_handle_s* handle);
int uv_idle_start(uv_handle_s* handle, void (*on_turn)(uv_handle_s* handle));
int uv_idle_stop(uv_handle_s* handle);
int uv_poll_init(uv_loop_s* loop, uv_handle_s* handle, int fd);
int uv_poll_start(uv_handle_s* handle, int events,
                  void (*on_ready)(uv_handle_s* handle, int status, int events));
void uv_ref(uv_handle_s* handle);
void uv_unref(uv_handle_s* handle);
void uv_close(uv_handle_s* handle, void (*on_closed)(uv_handle_s* handle));

}  // extern "C"

namespace sidecall_node {

// UV_IDLE and UV_POLL of enum uv_handle_type. Before their first use it is checked that libuv calls
// these numbers "idle" and "poll".
constexpr int kUvIdle = 6;
constexpr int kUvPoll = 8;
constexpr int kUvReadable = 1;

}  // namespace sidecall_node
