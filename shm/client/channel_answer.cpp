// Copies and checks answers, and turns them into tensors or an Error. The server is not trusted:
// everything read here may be wrong.
#include <algorithm>
#include <cstring>

#include "base/text/utf8.h"
#include "channel.h"

namespace sidecall::shm {
namespace {

constexpr uint64_t kLinesFetched = 4;

// Reads a text of the error record. The text goes into messages and logs of this process, so it is
// checked.
std::string text_of(const char* field, size_t capacity) {
  const auto* end = static_cast<const char*>(std::memchr(field, '\0', capacity));
  const std::string text = end ? std::string(field, end) : std::string();
  if (!end || !is_utf8_without_nul(text))
    violation("a text of its error record is not NUL-terminated UTF-8");
  return text;
}

}  // namespace

Answer Channel::State::take() {
  if (fork.is_forked()) throw_forked();
  if (outcome != Outcome::kAnswered)
    throw Error(SIDECALL_INTERNAL, "an answer was read before it arrived");
  outcome = Outcome::kTimedOut;
  Answer answer;
  try {
    if (fields.status != SIDECALL_OK) throw_failure();
    read_answer(&answer);
  } catch (const Error& error) {
    if (error.status == SIDECALL_PROTOCOL) drop();
    throw;
  }
  fetch_inputs();
  return answer;
}

// Prefetches the inputs for writing. The server has read them, so the cache lines are in the cache
// of the server's CPU; without the prefetch, the next request would wait for each line.
void Channel::State::fetch_inputs() noexcept {
  // The offset of the first input, from our own table. If there is none, the value is arbitrary.
  // That is harmless, because a prefetch never faults.
  const uint64_t offset = reinterpret_cast<const TensorEntry*>(request_slot())->offset;
  for (uint64_t i = 0; i < kLinesFetched; ++i) fetch_to_write(request_slot() + offset + i * kLine);
}

void Channel::State::note_layouts() {
  const bool is_same = (fields.flags & kResponseSameLayout) != 0;
  const bool is_one_shot = (fields.flags & kOneShot) != 0;
  const bool is_plain = fields.status == SIDECALL_OK && !is_one_shot;
  if (is_same && !(is_plain && may_be_same))
    violation("its response repeats a layout that it never sent");
  if (is_one_shot ? fields.status != SIDECALL_OK : fields.one_shot_bytes != 0)
    violation("its response is malformed");
  // After a failure or a one-shot result both sides must send their table again.
  may_be_same = layout_sent = is_plain;
  if (!is_same) is_table_known = false;
}

void Channel::State::read_answer(Answer* answer) {
  answer->run_ns = fields.run_ns;
  answer->is_one_shot = (fields.flags & kOneShot) != 0;
  if (answer->is_one_shot) {
    map_one_shot();
    answer->tensors = &one_shot_tensors;
    answer->slot = one_shot.data();
    return;
  }
  // If this answer sets SAME_LAYOUT, its table came with an earlier answer, which may have been
  // dropped before the table was read. The table is still in the slot, so read it now.
  if (!is_table_known) read_table(response_slot(), granted, shared->outputs, "output", &tensors);
  is_table_known = true;
  answer->tensors = &tensors;
  answer->slot = response_slot();
}

void Channel::State::throw_failure() const {
  ErrorRecord record;
  snapshot(&record, response_slot());
  if (record.status != fields.status || record.zero != 0 || record.row < -1)
    violation("its error record is malformed");
  if (!is_failure(record.status))
    violation("its error record has a status that a server must not send");
  Error error(record.status, text_of(record.message, sizeof record.message));
  if (error.message.empty())
    error.message = "'" + shared->endpoint->label() + "': the server gave no reason for its error";
  error.row = record.row;
  error.name = text_of(record.name, sizeof record.name);
  error.expected = text_of(record.expected, sizeof record.expected);
  error.got = text_of(record.got, sizeof record.got);
  if (fields.fault_rows > 0) read_faults(&error);
  throw Error(std::move(error));
}

void Channel::State::read_faults(Error* error) const {
  const uint32_t num_rows = fields.fault_rows, num_texts = fields.fault_texts;
  const bool is_plausible =
      num_rows <= kMaxFaultRows && num_texts <= num_rows && fields.faults_found >= num_rows;
  if (!is_plausible || failure_bytes(num_texts, num_rows) > granted)
    violation("its list of faults is malformed");
  const unsigned char* at = response_slot() + sizeof(ErrorRecord);
  for (uint32_t i = 0; i < num_texts; ++i, at += sizeof(FaultTextEntry)) {
    FaultTextEntry entry;
    snapshot(&entry, at);
    if (!is_failure(entry.status)) violation("a fault has a status that a server must not send");
    error->texts.push_back({entry.status, entry.kind, text_of(entry.name, sizeof entry.name),
                            text_of(entry.expected, sizeof entry.expected),
                            text_of(entry.got, sizeof entry.got)});
  }
  for (uint32_t i = 0; i < num_rows; ++i, at += sizeof(FaultRowEntry)) {
    FaultRowEntry entry;
    snapshot(&entry, at);
    if (entry.row < -1 || entry.text >= num_texts || entry.zero != 0)
      violation("its list of faults is malformed");
    error->rows.push_back({entry.row, entry.text});
  }
  error->num_faults = fields.faults_found;
}

void Channel::State::map_one_shot() {
  bool is_gone = false;
  read_socket(&is_gone);  // the server sends the file before it publishes the response
  OneShotFile file = std::move(one_shot_file);
  one_shot_file = OneShotFile();
  if (!file.file && file.sequence == sequence)
    no_descriptor_left("'" + shared->endpoint->label() + "': a large answer cannot be received");
  if (!file.file || file.sequence != sequence || file.bytes != fields.one_shot_bytes ||
      file.bytes == 0)
    violation("a one-shot result came without its file");
  check_file(file.file.get(), Kind::kSealed, file.bytes);
  one_shot = Mapping::of(file.file.get(), file.bytes, false, false);
  read_table(one_shot.data(), file.bytes, shared->outputs, "output", &one_shot_tensors);
}

}  // namespace sidecall::shm
