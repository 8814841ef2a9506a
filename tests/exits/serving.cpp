// Serves a model at two addresses and exits while it answers: serving MODEL SHM_ADDRESS END
// DELAY_US. test_serving.py calls it. Prints the port of HTTP once it serves.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sidecall/server.hpp>
#include <string>
#include <thread>

int main(int argc, char** argv) {
  if (argc != 5) return 97;
  // This handler runs after the destructors of ONNX Runtime, and gives runs time to use the objects
  // that these have destroyed.
  std::atexit([] { std::this_thread::sleep_for(std::chrono::milliseconds(100)); });
  const std::string how = argv[3];
  sidecall::ServerOptions options;
  options.num_threads = 2;
  const sidecall::Model model(std::string(argv[1]) + "?engine=onnxruntime");
  // Never destroyed, so that they serve until the process is gone.
  const auto& shm = *new sidecall::Server(argv[2], model, options);
  const auto& http = *new sidecall::Server("http://127.0.0.1:0?name=m", model, options);
  static_cast<void>(shm);
  std::puts(http.status().c_str());
  std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::microseconds(std::atoi(argv[4])));
  if (how == "return") return 3;
  if (how == "exit in a thread") std::thread([] { std::exit(3); }).join();
  if (how == "quick_exit") std::quick_exit(3);
  if (how == "_exit") _exit(3);
  return 98;
}
