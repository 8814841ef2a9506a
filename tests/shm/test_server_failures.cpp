// Failures over the channel from the server's side: whatever was thrown, the server sends one error
// record, followed by the list of faults.
#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "base/text/utf8.h"
#include "raw_client.h"
#include "server_host.h"

using host::Host;
using raw::Client;

namespace shm = sidecall::shm;

TEST_CASE("an exception or a missing output of a handler becomes the answer") {
  int step = 0;
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    const int64_t wrong[] = {1, 5};
    switch (step) {
      case 0: {
        shm::Error error(SIDECALL_UNKNOWN_CATEGORY, "line one\nline two");
        error.row = 4;
        error.name = std::string(126, 'n') + "\xc3\xa9";
        error.expected = "one of them";
        error.got = "string";
        throw error;
      }
      case 1:
        throw std::bad_alloc();
      case 2:
        throw std::runtime_error("not utf-8: \xff");
      case 3:
        throw 5;
      case 4:
        return;  // produces no output
      case 5:
        response.place(0, wrong, 2);
        return;
      case 6:
        response.place(0, request.input(0).dims, 2);
        response.place(0, request.input(0).dims, 2);
        return;
      case 7:
        response.place(1, request.input(0).dims, 2);
        return;
      case 8:
        response.place(0, request.input(0).dims, 2);
        return response.fail(shm::Error(SIDECALL_ENGINE, "after all"));
      case 9:
        throw shm::Error(SIDECALL_PROTOCOL, "a handler's own");
      case 10:
        throw shm::Error(0, "an error that says OK");
      default:
        return host::echo(request, response);
    }
  });
  const int32_t expected[] = {SIDECALL_UNKNOWN_CATEGORY, SIDECALL_OUT_OF_MEMORY, SIDECALL_INTERNAL,
                              SIDECALL_INTERNAL,         SIDECALL_INTERNAL,      SIDECALL_INTERNAL,
                              SIDECALL_INTERNAL,         SIDECALL_INTERNAL,      SIDECALL_ENGINE,
                              SIDECALL_PROTOCOL,         SIDECALL_INTERNAL};
  Client client(server.path);
  uint64_t k = 0;
  for (const int32_t status : expected) {
    client.write_numbers(1, 1);
    client.publish(++k);
    INFO("step " << step);
    CHECK(client.await(k).status == status);
    const shm::ErrorRecord record = client.failure();
    CHECK(record.status == status);
    CHECK(record.row == (step == 0 ? 4 : -1));
    CHECK(sidecall::is_utf8_without_nul(record.message));
    CHECK(std::string(record.message).find('\n') == std::string::npos);
    CHECK(record.message[0] != '\0');
    // The name is cut before the character that does not fit.
    if (step == 0) CHECK(std::string(record.name) == std::string(126, 'n'));
    if (step == 0) CHECK(std::string(record.expected) == "one of them");
    ++step;
    CHECK(client.echo(++k, 3.0F) == (step == 11));  // every earlier step fails
  }
}

TEST_CASE("a failure of many rows lists as many rows as the slot holds") {
  uint32_t num_rows = 3;
  Host server(host::numbers(), [&](const shm::Request&, shm::Response&) {
    shm::Error error(SIDECALL_REFUSED, "many rows");
    error.row = 1;
    error.texts = {{SIDECALL_REFUSED, shm::kStepFault, "pca", "finite numbers", "others"},
                   {SIDECALL_REFUSED, shm::kOutputFault, "scores.1", "finite numbers", "others"}};
    for (uint32_t i = 0; i < num_rows; ++i)
      error.rows.push_back({2 * static_cast<int64_t>(i) + 1, i % 2});
    error.num_faults = num_rows + 7;
    throw error;
  });
  Client client(server.path);
  uint64_t k = 0;
  const auto fail = [&] {
    client.write_numbers(1, 1);
    client.publish(++k);
    return client.await(k);
  };
  const shm::ResponseFields few = fail();
  CHECK((few.status == SIDECALL_REFUSED && few.fault_rows == 3 && few.fault_texts == 2 &&
         few.faults_found == 10));
  const unsigned char* at = client.response_slot() + sizeof(shm::ErrorRecord);
  shm::FaultTextEntry text;
  std::memcpy(&text, at + sizeof text, sizeof text);
  CHECK((text.kind == shm::kOutputFault && std::string(text.name) == "scores.1" &&
         std::string(text.got) == "others"));
  shm::FaultRowEntry row;
  std::memcpy(&row, at + 2 * sizeof text + 2 * sizeof row, sizeof row);
  CHECK((row.row == 5 && row.text == 0 && row.zero == 0));
  num_rows = 100000;
  const shm::ResponseFields many = fail();
  CHECK(many.fault_rows > 50);
  CHECK(many.fault_rows <= shm::kMaxFaultRows);
  CHECK(many.faults_found == 100007);
  num_rows = 0;
  CHECK(fail().fault_rows == 0);
}
