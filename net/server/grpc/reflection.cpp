// Describes the services of gRPC; see reflection.h.
#include "reflection.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <iterator>
#include <protozero/pbf_writer.hpp>

#include "net/common/grpc_tensor.h"
#include "net/common/status.h"

namespace sidecall::net {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

struct DescribedFile {
  std::string_view name;
  std::string_view descriptor;      // a serialized google.protobuf.FileDescriptorProto
  const std::string_view* symbols;  // full names
  size_t num_symbols;
};

// kDescribedFiles and kServices, which tools/generate_descriptors.py writes.
#include "descriptors.inc"

// Field numbers of ServerReflectionRequest and ServerReflectionResponse.
enum RequestField : uint32_t {
  kHost = 1,
  kFileByName = 3,
  kFileOfSymbol = 4,
  kFileOfExtension = 5,
  kExtensionsOfType = 6,
  kListServices = 7
};
enum ResponseField : uint32_t {
  kValidHost = 1,
  kOriginalRequest = 2,
  kFiles = 4,
  kExtensions = 5,
  kServiceList = 6,
  kError = 7
};

bool has_symbol(const DescribedFile& file, std::string_view symbol) {
  const auto* const end = file.symbols + file.num_symbols;
  return std::find(file.symbols, end, symbol) != end;
}

const DescribedFile* find_file(uint32_t field, std::string_view text) {
  const auto* const end = std::end(kDescribedFiles);
  const auto* const found =
      std::find_if(std::begin(kDescribedFiles), end, [&](const DescribedFile& file) {
        return field == kFileByName ? file.name == text : has_symbol(file, text);
      });
  return found == end ? nullptr : found;
}

void add_error(int code, const char* text, pbf_writer* response) {
  constexpr uint32_t kCode = 1, kMessage = 2;
  pbf_writer error(*response, kError);
  error.add_int32(kCode, code);
  error.add_string(kMessage, text);
}

void add_answer(uint32_t field, std::string_view text, pbf_writer* response) {
  constexpr uint32_t kName = 1;  // of each message below
  const DescribedFile* file = nullptr;
  switch (field) {
    case kListServices: {
      pbf_writer list(*response, kServiceList);
      for (const std::string_view name : kServices) {
        pbf_writer service(list, kName);
        service.add_string(kName, name.data(), name.size());
      }
      return;
    }
    case kFileByName:
    case kFileOfSymbol:
      file = find_file(field, text);
      if (file == nullptr)
        return add_error(kGrpcNotFound,
                         "this server has no such file or symbol; list_services names its services",
                         response);
      pbf_writer(*response, kFiles)
          .add_bytes(kName, file->descriptor.data(), file->descriptor.size());
      return;
    case kExtensionsOfType:
      if (find_file(kFileOfSymbol, text) == nullptr)
        return add_error(kGrpcNotFound, "this server has no such type", response);
      pbf_writer(*response, kExtensions).add_string(kName, text.data(), text.size());
      return;
    case kFileOfExtension:
      return add_error(kGrpcNotFound, "the types of this server have no extensions", response);
    default:
      return add_error(
          kGrpcInvalidArgument,
          "the request has none of the fields that ask for something, such as list_services",
          response);
  }
}

class Reflection final : public MessageStream {
 public:
  std::string receive(std::string_view message) override {
    return reading("request", [&] {
      return reading_protobuf([&] {
        uint32_t field = 0;
        std::string_view host, text;
        pbf_reader reader = reader_of(message);
        while (reader.next()) {
          const uint32_t tag = reader.tag();
          if (tag == kHost) host = read_bytes(&reader);
          else if (tag >= kFileByName && tag <= kListServices)
            field = tag, text = read_bytes(&reader);
          else reader.skip();
        }
        std::string answer;
        pbf_writer response(answer);
        response.add_string(kValidHost, host.data(), host.size());
        response.add_message(kOriginalRequest, message.data(), message.size());
        add_answer(field, text, &response);
        return frame(answer);
      });
    });
  }
  bool finish() override { return true; }
};

}  // namespace

std::unique_ptr<MessageStream> open_reflection() { return std::make_unique<Reflection>(); }

}  // namespace sidecall::net
