// Describes the network route as JSON; see describe.h.
#include "describe.h"

#include <sidecall/sidecall.h>
#include <unistd.h>

#include <memory>

#include "base/json/json.h"
#include "context.h"
#include "core/clock.h"
#include "core/error.h"
#include "library.h"

namespace sidecall {
namespace {

void write_member(json::Writer* writer, const char* key, const std::string& value) {
  writer->Key(key);
  writer->String(value.c_str(), static_cast<rapidjson::SizeType>(value.size()));
}

void write_step(void* context, const char* server, const char* step, int32_t status,
                const char* text) {
  auto* const writer = static_cast<json::Writer*>(context);
  writer->StartObject();
  write_member(writer, "server", server);
  write_member(writer, "step", step);
  writer->Key("code");
  writer->Int(status);
  write_member(writer, "status", status_name(status));
  write_member(writer, "text", text);
  writer->EndObject();
}

}  // namespace

std::string describe_network(const std::string& uri, int64_t timeout_ns) {
  const sidecall_net_api& api = net_library();
  json::Buffer buffer;
  json::Writer writer(buffer);
  writer.StartObject();
  write_member(&writer, "version", api.version);
  write_member(&writer, "path", net_library_path());
  writer.Key("libraries");
  writer.StartObject();
  const char *name = nullptr, *version = nullptr;
  for (int32_t i = 0; api.library(i, &name, &version) != 0; ++i)
    write_member(&writer, name, version);
  writer.EndObject();
  const std::string ca = api.default_ca();
  write_member(&writer, "ca", ca);
  writer.Key("ca_readable");
  writer.Bool(!ca.empty() && ::access(ca.c_str(), R_OK) == 0);
  if (!uri.empty()) {
    sidecall_net_error error{};
    sidecall_net_client* opened = nullptr;
    if (api.open(uri.c_str(), &opened, &error) != SIDECALL_OK) throw_network_error(error);
    const std::unique_ptr<sidecall_net_client, void (*)(sidecall_net_client*)> client(opened,
                                                                                      api.close);
    writer.Key("steps");
    writer.StartArray();
    if (api.probe(opened, ns_of(deadline_after(timeout_ns)), &write_step, &writer, &error) !=
        SIDECALL_OK)
      throw_network_error(error);
    writer.EndArray();
  }
  writer.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace sidecall
