// Servers in this process; see servers.h.
#include "servers.h"

#include <fcntl.h>

namespace anomalies {
namespace {

const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

}  // namespace

const sidecall_log_lines* log_to_nowhere() {
  static const sidecall_log_lines lines = {sizeof lines, nowhere, 0, 0};
  return &lines;
}

Server open_server(Steps& steps, const std::string& address, const sidecall_model* model,
                   int32_t num_threads) {
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.log = log_to_nowhere();
  options.num_threads = num_threads;
  sidecall_server* server = nullptr;
  const sidecall_status status =
      sidecall_server_open(address.c_str(), model, &options, &server, steps.error());
  return own(steps, status, server, sidecall_server_close);
}

void query(Steps& steps, const std::string& address) {
  sidecall_text* made = nullptr;
  const sidecall_status status =
      sidecall_server_query(address.c_str(), kTimeout, &made, steps.error());
  const Text text = own(steps, status, made, sidecall_text_close);
}

namespace {

const char kSignature[] =
    R"({"inputs": [{"name": "x", "dtype": "float64", "dims": [-1, 2], "dim_names": ["N", ""]}],)"
    R"( "outputs": [{"name": "y", "dtype": "float64", "dims": [-1, 2], "dim_names": ["N", ""]}]})";

sidecall_status double_each(void* pause, sidecall_request* request) {
  if (pause != nullptr) nanosleep(static_cast<const timespec*>(pause), nullptr);
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  sidecall_status status = sidecall_request_input(request, 0, &in, &error);
  if (status == SIDECALL_OK)
    status = sidecall_request_output(request, 0, in.dims, in.rank, &out, &error);
  if (status != SIDECALL_OK) return status;
  for (int64_t i = 0; i < 2 * in.dims[0]; ++i)
    static_cast<double*>(out.data)[i] = 2 * static_cast<const double*>(in.data)[i];
  sidecall_request_log(request, 1, "doubled", R"({"rows": 1})");
  return SIDECALL_OK;
}

}  // namespace

sidecall_service make_service() {
  sidecall_service service;
  sidecall_service_init(&service);
  service.signature = kSignature;
  service.signature_length = sizeof kSignature - 1;
  service.handler = double_each;
  return service;
}

Server open_function(Steps& steps, const std::string& address, const timespec* pause) {
  sidecall_service service = make_service();
  service.context = const_cast<timespec*>(pause);
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.log = log_to_nowhere();
  options.max_response_bytes = 1 << 16;
  sidecall_server* made = nullptr;
  const sidecall_status status = sidecall_server_open_service(
      address.c_str(), &service, SIDECALL_VERIFY_ERROR, &options, &made, steps.error());
  return own(steps, status, made, sidecall_server_close);
}

void run_doubling(Steps& steps, const std::string& address, int64_t rows) {
  const Model model = open_model(steps, address);
  if (steps.ok()) run_doubling(steps, model.get(), rows);
}

void run_doubling(Steps& steps, const sidecall_model* model, int64_t rows) {
  const Call call = open_call(steps, model, rows);
  sidecall_view view = SIDECALL_VIEW_INIT;
  if (!steps.ok() || !steps(sidecall_call_input(call.get(), 0, &view, steps.error()))) return;
  for (int64_t i = 0; i < 2 * rows; ++i)
    static_cast<double*>(view.data)[i] = static_cast<double>(i);
  if (!steps(sidecall_call_run(call.get(), kTimeout, steps.error())) ||
      !steps(sidecall_call_output(call.get(), 0, &view, steps.error())))
    return;
  for (int64_t i = 0; i < 2 * rows; ++i)
    if (static_cast<const double*>(view.data)[i] != static_cast<double>(2 * i))
      return steps.wrong("an element is not twice the input");
}

}  // namespace anomalies
