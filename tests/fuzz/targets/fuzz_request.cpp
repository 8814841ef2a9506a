// Fuzzes a request in shared memory: descriptor, table, strings and elements, with a signature of
// every kind of tensor. The handler sees only consistent inputs, and the slot accepts the next
// request.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "shm/server/connections/connection.h"
#include "shm/server/slots/slot.h"
#include "tests/fuzz/check.h"

namespace {

namespace shm = sidecall::shm;

constexpr uint64_t kSlot = 4096;

shm::Service make_service() {
  shm::Service service;
  service.inputs = {
      {"x", 1, {-1, 4}}, {"s", 8, {-1}}, {"b", 9, {-1}}, {"n", 22, {-1, 3}}, {"one", 11, {}}};
  service.outputs = service.inputs;
  service.in_place = {true, false, false, true, true};
  return service;
}

struct Memory {
  alignas(64) unsigned char request[kSlot];
  alignas(64) unsigned char response[kSlot];
  shm::Word cancelled{0};
};

void check_view(const shm::InputView& view, const sidecall::TensorSpec& spec, bool is_in_place,
                const Memory& memory) {
  fuzz::require(view.dtype == spec.dtype && view.rank == spec.dims.size(),
                "the signature's type and rank");
  int64_t elements = 0;
  fuzz::require(shm::count_elements(view.dims, view.rank, &elements) && elements == view.elements,
                "elements that dims amount to");
  for (uint32_t i = 0; i < view.rank; ++i)
    fuzz::require(spec.dims[i] < 0 || spec.dims[i] == view.dims[i], "the signature's dims");
  const auto* data = static_cast<const unsigned char*>(view.data);
  const bool is_inside = data >= memory.request && data < memory.request + kSlot;
  fuzz::require(view.bytes == 0 || is_inside == is_in_place, "memory of its kind");
  if (view.offsets == nullptr) {
    uint64_t bytes = 0;
    fuzz::require(shm::count_bytes(view.dtype, elements, &bytes) && bytes == view.bytes,
                  "bytes that dims amount to");
    fuzz::require(!is_inside || static_cast<uint64_t>(data - memory.request) + view.bytes <= kSlot,
                  "memory inside the slot");
    if (spec.dtype == 9)
      fuzz::require(std::all_of(data, data + view.bytes, [](unsigned char b) { return b < 2; }),
                    "bools of 0 and 1");
    return;
  }
  fuzz::require(view.offsets[0] == 0 && static_cast<uint64_t>(view.offsets[elements]) == view.bytes,
                "offsets from end to end");
  for (int64_t i = 0; i < elements; ++i) {
    fuzz::require(view.offsets[i] <= view.offsets[i + 1], "offsets that never fall");
    const auto length = static_cast<size_t>(view.offsets[i + 1] - view.offsets[i]);
    fuzz::require(sidecall::is_utf8_without_nul(
                      {static_cast<const char*>(view.data) + view.offsets[i], length}),
                  "strings in UTF-8");
  }
}

// Checks every input and returns it as the output.
class Checker final : public shm::Session {
 public:
  Checker(const shm::Service& service, const Memory& memory) : service_(service), memory_(memory) {}
  void handle(const shm::Request& request, shm::Response& response) override {
    fuzz::require(request.num_inputs() == service_.inputs.size(), "an input per spec");
    for (size_t i = 0; i < request.num_inputs(); ++i) {
      const shm::InputView& view = request.input(i);
      check_view(view, service_.inputs[i], service_.in_place[i], memory_);
      if (view.offsets != nullptr) {
        response.place_strings(i, view.dims, view.rank, view.offsets,
                               {static_cast<const char*>(view.data), view.bytes});
      } else {
        void* const to = response.place(i, view.dims, view.rank);
        if (view.bytes > 0) std::memcpy(to, view.data, view.bytes);
      }
    }
    ++calls;
  }
  int calls = 0;

 private:
  const shm::Service& service_;
  const Memory& memory_;
};

// Returns false for a protocol violation.
bool serve(shm::ServerSlot* slot, uint64_t sequence, bool same_layout, Checker* checker) {
  try {
    slot->begin(sequence, same_layout, -1);
    slot->copy_inputs();
  } catch (const shm::Error& error) {
    fuzz::require(error.status == SIDECALL_PROTOCOL && sidecall::is_utf8_without_nul(error.message),
                  "a violation in words");
    return false;
  }
  slot->handle(checker);
  shm::ResponseFields fields;
  slot->finish(&fields);
  fuzz::require(fields.status == 0, "an answer to what was taken");
  fuzz::require((fields.flags & shm::kResponseSameLayout) == 0 || sequence > 1,
                "a table with the first answer");
  slot->take_one_shot();
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const shm::Service service = make_service();
  static Memory memory;
  shm::RequestFields fields{};
  std::memcpy(&fields, data, std::min(size, sizeof(fields)));
  try {
    shm::check_request(fields, 4);
    fuzz::require(fields.slot < 4 && fields.flags <= shm::kSameLayout,
                  "a descriptor of the protocol");
  } catch (const shm::Error& error) {
    fuzz::require(error.status == SIDECALL_PROTOCOL, "a violation");
  }
  data += std::min(size, sizeof(fields));
  size -= std::min(size, sizeof(fields));
  std::memset(memory.request, 0, kSlot);
  std::memcpy(memory.request, data, std::min<size_t>(size, kSlot));

  const shm::SlotMemory where{memory.request, kSlot, memory.response, kSlot, &memory.cancelled};
  shm::EventLog log(nullptr);
  shm::MemoryBudget budget(UINT64_C(1) << 30, UINT64_C(1) << 30);
  shm::ServerSlot slot(service, UINT64_C(1) << 20, where, {&log, 0}, &budget);
  Checker checker(service, memory);
  fuzz::require(!serve(&slot, 1, true, &checker), "no layout before the first");
  if (!serve(&slot, 1, false, &checker)) return 0;
  // The same table with changed elements.
  const auto table = static_cast<size_t>(shm::table_bytes(service.inputs.size()));
  std::reverse(memory.request + table, memory.request + kSlot);
  serve(&slot, 2, true, &checker);
  return 0;
}
