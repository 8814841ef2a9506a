// Writes an answer into its slot, or into a one-shot file if it does not fit, or writes an error
// record.
#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include "base/text/utf8.h"
#include "slot.h"

namespace sidecall::shm {

namespace {

[[noreturn]] void handler_bug(const std::string& what) {
  throw Error(SIDECALL_INTERNAL, "the server's handler: " + what);
}

std::string describe(const int64_t* dims, uint32_t rank) {
  std::string text = "[";
  for (uint32_t i = 0; i < rank; ++i) text += (i > 0 ? "," : "") + std::to_string(dims[i]);
  return text + "]";
}

// Writes a text as one line of UTF-8, cut at the start of a character. The rest of `to` is already
// zero.
template <size_t N>
void write_text(char (&to)[N], const std::string& text) noexcept {
  const bool is_text = is_utf8_without_nul(text);
  const size_t length = is_text ? cut_length(text, N - 1) : std::min(text.size(), N - 1);
  for (size_t i = 0; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    to[i] = byte == '\n' || byte == '\r'                ? ' '
            : (!is_text && (byte == 0 || byte >= 0x80)) ? '?'
                                                        : text[i];
  }
}

}  // namespace

void ServerSlot::handle(Session* session) {
  try {
    session->handle(*this, *this);
    if (!failure_) {
      for (size_t i = 0; i < is_placed_.size(); ++i) {
        if (!is_placed_[i])
          handler_bug("expected output '" + service_.outputs[i].name + "', got none");
      }
    }
  } catch (const Error& error) {
    failure_ = error;
  } catch (const std::bad_alloc&) {
    failure_ = Error(SIDECALL_OUT_OF_MEMORY, "the server is out of memory");
  } catch (const std::exception& error) {
    failure_ = Error(SIDECALL_INTERNAL, error.what());
  } catch (...) {
    failure_ = Error(SIDECALL_INTERNAL,
                     "the server's handler threw something that is not a std::exception");
  }
  if (failure_ && !is_failure(failure_->status)) failure_->status = SIDECALL_INTERNAL;
}

Tensor ServerSlot::shape(size_t index, const int64_t* dims, uint32_t rank, bool is_string,
                         uint64_t text_bytes) const {
  const TensorSpec& spec = service_.outputs[index];
  Tensor tensor;
  tensor.dtype = spec.dtype;
  tensor.rank = rank;
  bool fits = rank <= kMaxRank && (!spec.is_shaped || rank == spec.dims.size());
  for (uint32_t i = 0; fits && i < rank; ++i) {
    fits = !spec.is_shaped || spec.dims[i] < 0 || spec.dims[i] == dims[i];
    tensor.dims[i] = dims[i];
  }
  fits = fits && count_elements(dims, rank, &tensor.elements);
  if (fits && is_string) {
    tensor.bytes = string_bytes(tensor.elements, text_bytes);
  } else if (fits) {
    fits = count_bytes(spec.dtype, tensor.elements, &tensor.bytes);
  }
  if (!fits) {
    const std::string wanted =
        spec.is_shaped ? describe(spec.dims.data(), static_cast<uint32_t>(spec.dims.size()))
                       : "of up to 16 dimensions";
    handler_bug("output '" + spec.name + "': expected shape " + wanted + ", got " +
                describe(dims, rank));
  }
  return tensor;
}

void* ServerSlot::reserve(size_t index, const int64_t* dims, uint32_t rank, bool is_string,
                          uint64_t text_bytes) {
  if (index >= outputs_.size())
    handler_bug("expected an output index below " + std::to_string(outputs_.size()) + ", got " +
                std::to_string(index));
  if (is_placed_[index])
    handler_bug("output '" + service_.outputs[index].name + "' was placed twice");
  Tensor& kept = outputs_[index];
  const bool same_shape = has_answer_table_ && !is_string && kept.dtype != SIDECALL_DTYPE_STRING &&
                          kept.rank == rank && kept.offset == next_offset_ &&
                          std::memcmp(kept.dims, dims, rank * sizeof(*dims)) == 0;
  if (!same_shape) {
    if (is_string != (service_.outputs[index].dtype == SIDECALL_DTYPE_STRING))
      handler_bug("output '" + service_.outputs[index].name +
                  "': expected place_strings() for strings and place() for other types");
    Tensor tensor = shape(index, dims, rank, is_string, text_bytes);
    tensor.offset = next_offset_;
    is_changed_ = is_changed_ || !has_answer_table_ || kept.rank != tensor.rank ||
                  kept.offset != tensor.offset || kept.bytes != tensor.bytes ||
                  std::memcmp(kept.dims, tensor.dims, sizeof(tensor.dims)) != 0;
    kept = tensor;
  }
  is_placed_[index] = true;
  if (kept.bytes <= memory_.response_bytes && next_offset_ <= memory_.response_bytes - kept.bytes) {
    next_offset_ = align_up(next_offset_ + kept.bytes, kLine);
    return memory_.response + kept.offset;
  }
  overflow_bytes_ = (is_one_shot_ ? overflow_bytes_ : 0) + kept.bytes;
  is_one_shot_ = is_changed_ = true;
  if (overflow_bytes_ > max_one_shot_) {
    throw Error(SIDECALL_OUT_OF_MEMORY, "output '" + service_.outputs[index].name +
                                            "': expected a result of at most " +
                                            std::to_string(max_one_shot_) + " bytes, got more");
  }
  overflow_memory_.grow_to(overflow_bytes_);
  kept.offset = 0;
  overflow_.resize(outputs_.size());
  return overflow_[index].resize(kept.bytes);
}

void* ServerSlot::place(size_t index, const int64_t* dims, uint32_t rank) {
  return reserve(index, dims, rank, false, 0);
}

void ServerSlot::place_strings(size_t index, const int64_t* dims, uint32_t rank,
                               const int64_t* offsets, std::string_view bytes) {
  int64_t elements = 0;
  if (rank > kMaxRank || !count_elements(dims, rank, &elements))
    handler_bug("strings: expected at most 16 dimensions of 0 or more");
  bool fits = offsets[0] == 0;
  for (int64_t i = 0; fits && i < elements; ++i) fits = offsets[i] <= offsets[i + 1];
  if (!fits || static_cast<uint64_t>(offsets[elements]) > bytes.size())
    handler_bug(
        "strings: expected offsets that start at 0, never decrease and end within the bytes");
  const std::string_view text = bytes.substr(0, static_cast<size_t>(offsets[elements]));
  auto* at = static_cast<unsigned char*>(reserve(index, dims, rank, true, text.size()));
  write_strings(at, offsets, elements, text);
}

void ServerSlot::hold(size_t index, uint64_t bytes) {
  if (index >= held_.size() || bytes <= held_[index]) return;
  try {
    results_memory_.grow_by(bytes - held_[index]);
  } catch (...) {
    is_dropped_ = true;
    throw;
  }
  held_[index] = bytes;
}

void ServerSlot::close_dropped_session() noexcept {
  if (!is_dropped_) return;
  is_dropped_ = false;
  session_.reset();
  std::fill(held_.begin(), held_.end(), uint64_t{0});
  results_memory_.shrink_to(0);
  session_memory_.shrink_to(0);
  for (Private& own : private_) {
    std::fill(own.capacities.begin(), own.capacities.end(), int64_t{0});
    own.capacity = 0;
  }
}

void ServerSlot::finish(ResponseFields* fields) {
  *fields = ResponseFields{};
  if (!failure_ && !is_one_shot_) {
    finish_in_slot(fields);
    is_new_layout_ = false;
  } else {
    try {
      if (!failure_) finish_one_shot(fields);
    } catch (const Error& error) {
      failure_ = error;
    } catch (const std::bad_alloc&) {
      failure_ = Error(SIDECALL_OUT_OF_MEMORY, "the server is out of memory");
    }
    if (failure_) {
      finish_failed(fields);
      failure_.reset();  // it may be large
      one_shot_.file.reset();
      one_shot_.memory.shrink_to(0);
      // The session may still have the strings of an earlier request.
      is_dropped_ = is_dropped_ || (is_resized_ && session_);
      close_dropped_session();
    }
    has_table_ = has_answer_table_ = false;  // both sides must send their table again
    overflow_.clear();
    overflow_memory_.shrink_to(0);
  }
  fields->run_ns = run_ns_;
}

void ServerSlot::finish_in_slot(ResponseFields* fields) noexcept {
  if (has_answer_table_ && !is_changed_) {
    fields->flags = kResponseSameLayout;
    return;
  }
  for (size_t i = 0; i < outputs_.size(); ++i) write_entry(memory_.response, i, outputs_[i]);
  has_answer_table_ = true;
}

void ServerSlot::finish_one_shot(ResponseFields* fields) {
  std::vector<Tensor> laid_out = outputs_;
  const uint64_t bytes = shm::place(&laid_out);
  if (bytes > max_one_shot_) {
    throw Error(SIDECALL_OUT_OF_MEMORY, "expected a result of at most " +
                                            std::to_string(max_one_shot_) + " bytes, got " +
                                            std::to_string(bytes));
  }
  one_shot_.memory.grow_to(bytes);
  Segment file = make_file(bytes);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const void* from =
        outputs_[i].offset != 0 ? memory_.response + outputs_[i].offset : overflow_[i].data();
    std::memcpy(file.memory.data() + laid_out[i].offset, from, outputs_[i].bytes);
    write_entry(file.memory.data(), i, laid_out[i]);
  }
  one_shot_.file = seal_file(std::move(file));
  fields->flags = kOneShot;
  fields->one_shot_bytes = bytes;
}

void ServerSlot::finish_failed(ResponseFields* fields) noexcept {
  fields->flags = 0;
  fields->status = failure_->status;
  ErrorRecord record{};
  record.status = failure_->status;
  record.row = failure_->row;
  write_text(record.name, failure_->name);
  write_text(record.expected, failure_->expected);
  write_text(record.got, failure_->got);
  write_text(record.message, failure_->message);
  std::memcpy(memory_.response, &record, sizeof(record));
  write_faults(fields);
}

// Writes the first rows, as many as fit in the slot together with their texts.
void ServerSlot::write_faults(ResponseFields* fields) noexcept {
  const std::vector<FaultRow>& rows = failure_->rows;
  uint32_t num_rows = 0, num_texts = 0;
  while (num_rows < rows.size() && num_rows < kMaxFaultRows) {
    const uint32_t texts = std::max(num_texts, rows[num_rows].text + 1);
    if (failure_bytes(texts, num_rows + 1) > memory_.response_bytes) break;
    num_texts = texts;
    ++num_rows;
  }
  if (num_rows == 0) return;
  unsigned char* at = memory_.response + sizeof(ErrorRecord);
  for (uint32_t i = 0; i < num_texts; ++i, at += sizeof(FaultTextEntry)) {
    const FaultText& text = failure_->texts[i];
    FaultTextEntry entry{};
    entry.status = text.status;
    entry.kind = text.kind;
    write_text(entry.name, text.name);
    write_text(entry.expected, text.expected);
    write_text(entry.got, text.got);
    std::memcpy(at, &entry, sizeof(entry));
  }
  for (uint32_t i = 0; i < num_rows; ++i, at += sizeof(FaultRowEntry)) {
    const FaultRowEntry entry{rows[i].row, rows[i].text, 0};
    std::memcpy(at, &entry, sizeof(entry));
  }
  fields->fault_rows = num_rows;
  fields->fault_texts = num_texts;
  fields->faults_found = std::max(failure_->num_faults, num_rows);
}

}  // namespace sidecall::shm
