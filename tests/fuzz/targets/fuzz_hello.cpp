// Fuzzes the first message of a client with any bytes. Sizes that are granted lie within the
// limits; a refusal has a message.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "shm/server/accepting/admission.h"
#include "tests/fuzz/check.h"

namespace {

namespace shm = sidecall::shm;

shm::Limits limits() {
  shm::Limits limits;
  limits.max_slots = 16;
  limits.max_request_bytes = UINT64_C(1) << 28;
  limits.max_response_bytes = UINT64_C(1) << 27;
  limits.least_request_bytes = 5000;
  limits.least_response_bytes = 1360;
  return limits;
}

void check_slot(uint64_t granted, uint64_t wanted, uint64_t least, uint64_t most) {
  fuzz::require(
      granted % shm::kPage == 0 && granted >= shm::kPage && granted >= wanted && granted >= least,
      "at least what was wanted");
  fuzz::require(granted <= shm::align_up(most, shm::kPage), "no more than the limit");
}

void check_grant(const shm::Grant& grant, const uint8_t* data) {
  shm::Hello hello;
  std::memcpy(&hello, data, sizeof(hello));
  if (grant.kind != shm::kConnect) {
    fuzz::require(grant.slots == 0 && grant.memory() == 0, "memory with CONNECT only");
    return;
  }
  const shm::Limits most = limits();
  fuzz::require(grant.slots == hello.slots && grant.slots > 0 && grant.slots <= most.max_slots,
                "the slots that were wanted");
  check_slot(grant.request_bytes, hello.request_bytes, most.least_request_bytes,
             most.max_request_bytes);
  check_slot(grant.response_bytes, hello.response_bytes, most.least_response_bytes,
             most.max_response_bytes);
  fuzz::require(grant.memory() < UINT64_C(1) << 34, "a sum that did not wrap");
}

void check_refusal(const shm::Error& error) {
  fuzz::require(error.status == SIDECALL_PROTOCOL || error.status == SIDECALL_OUT_OF_RANGE,
                "a status of REFUSED");
  const std::string message = shm::refusal(error.status, error.message);
  shm::Refused refused;
  fuzz::require(message.size() > sizeof(refused), "some words");
  std::memcpy(&refused, message.data(), sizeof(refused));
  fuzz::require(refused.text_bytes == message.size() - sizeof(refused) &&
                    refused.text_bytes <= shm::kMaxRefusal,
                "words of the length said");
  fuzz::require(sidecall::is_utf8_without_nul(message.substr(sizeof(refused))), "words in UTF-8");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const bool is_hello = shm::is_hello(data, size);
  fuzz::require(is_hello == (size >= 16 && std::memcmp(data, "sidecall", 8) == 0),
                "the magic word");
  try {
    const shm::Grant grant = shm::parse_hello(data, size, limits());
    fuzz::require(is_hello && size == sizeof(shm::Hello), "only a HELLO is granted anything");
    check_grant(grant, data);
  } catch (const shm::Error& error) {
    check_refusal(error);
  }
  return 0;
}
