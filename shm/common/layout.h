// All messages and memory structures of PROTOCOL.md, version 1: what the socket carries and what
// the two segments contain. Used by client and server.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sidecall::shm {

constexpr char kMagic[8] = {'s', 'i', 'd', 'e', 'c', 'a', 'l', 'l'};
constexpr uint16_t kVersion = 1;

constexpr uint32_t kMaxSlots = 64;
constexpr uint32_t kMaxRank = 16;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kLine = 64;
constexpr uint64_t kMaxManifest = UINT64_C(64) << 20;

// ---- Messages (section 2) ----

constexpr uint8_t kRing = 0x01;
// Only on control sockets.
constexpr uint8_t kAttach = 0x02;
constexpr uint8_t kLoad = 0x03;
constexpr uint8_t kMemory = 0x04;

enum HelloKind : uint32_t { kOpen = 1, kConnect = 2, kStatus = 3 };
enum HelloFlags : uint32_t { kAlwaysRing = 1 };

struct Hello {
  char magic[8];
  uint16_t version_min;
  uint16_t version_max;
  uint32_t kind;
  uint32_t flags;
  uint32_t slots;
  uint64_t request_bytes;
  uint64_t response_bytes;
  uint8_t zero[24];
};
static_assert(sizeof(Hello) == 64 && offsetof(Hello, request_bytes) == 24, "PROTOCOL.md, HELLO");

enum AnswerKind : uint32_t { kWelcome = 1, kRefused = 2, kStatusAnswer = 3, kOneShotFile = 4 };
enum WelcomeFlags : uint32_t { kHasContract = 1, kVerified = 2, kHasPidfd = 4 };

struct Welcome {
  char magic[8];
  uint16_t version;
  uint16_t zero0;
  uint32_t kind;
  uint32_t flags;
  uint32_t slots;
  uint64_t request_bytes;
  uint64_t response_bytes;
  uint64_t manifest_bytes;
  uint64_t max_request_bytes;
  uint64_t max_response_bytes;
  uint8_t signature_digest[32];
  char model_id[64];
  uint64_t instance;
  uint32_t process;
  uint32_t zero1;
  uint64_t timeout_ns;
  uint8_t zero2[8];
};
static_assert(sizeof(Welcome) == 192 && offsetof(Welcome, signature_digest) == 64 &&
                  offsetof(Welcome, instance) == 160 && offsetof(Welcome, timeout_ns) == 176,
              "PROTOCOL.md, WELCOME");

struct Refused {
  char magic[8];
  uint16_t version_min;
  uint16_t version_max;
  uint32_t kind;
  int32_t status;
  uint32_t text_bytes;
  uint64_t zero;
};
static_assert(sizeof(Refused) == 32 && offsetof(Refused, status) == 16, "PROTOCOL.md, REFUSED");
constexpr uint32_t kMaxRefusal = 1024;

// The message of STATUS (`first` is the number of bytes, `second` is zero) and of one-shot results
// (`first` is the sequence, `second` the number of bytes).
struct FileMessage {
  char magic[8];
  uint16_t version;
  uint16_t zero;
  uint32_t kind;
  uint64_t first;
  uint64_t second;
};
static_assert(sizeof(FileMessage) == 32, "PROTOCOL.md, STATUS and one-shot results");

// ---- Segments (section 3) ----

using Word = std::atomic<uint64_t>;
static_assert(sizeof(Word) == 8 && Word::is_always_lock_free,
              "words of the segments are plain memory");

// Stores `value` so that no later load of this thread can come before the store. Publishing a
// sequence and announcing sleep both need this order; PROTOCOL.md, section 5, has the two pairs.
// For a word that the peer polls, a release store followed by a fence is faster than a seq_cst
// store. On x86-64 a seq_cst store is a locked instruction, which waits until all earlier stores
// have reached the cache. Meanwhile the peer could take the cache line away before the word itself
// is written. ThreadSanitizer does not support fences, so its builds use the seq_cst store.
inline void store_before_looking(Word* word, uint64_t value) noexcept {
#if defined(__SANITIZE_THREAD__)
  word->store(value, std::memory_order_seq_cst);
#else
  word->store(value, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

enum RequestFlags : uint32_t { kSameLayout = 1 };
enum ResponseFlags : uint32_t { kResponseSameLayout = 1, kOneShot = 2 };

// Bytes 8 to 63 of a descriptor. They are copied into private memory before they are checked.
struct RequestFields {
  uint32_t slot;
  uint32_t flags;
  uint64_t timeout_ns;
  uint32_t cpu;
  uint8_t zero[36];
};

struct ResponseFields {
  int32_t status;
  uint32_t flags;
  uint64_t run_ns;
  uint32_t cpu;
  uint32_t zero0;
  uint64_t one_shot_bytes;
  uint32_t fault_rows;
  uint32_t fault_texts;
  uint32_t faults_found;
  uint8_t zero1[12];
};

template <typename Fields>
struct alignas(kLine) Entry {
  Word sequence;
  Fields fields;
};
using RequestEntry = Entry<RequestFields>;
using ResponseEntry = Entry<ResponseFields>;
static_assert(sizeof(RequestEntry) == 64 && offsetof(RequestEntry, fields) == 8,
              "PROTOCOL.md, request descriptor");
static_assert(sizeof(ResponseEntry) == 64 && offsetof(ResponseEntry, fields) == 8,
              "PROTOCOL.md, response descriptor");

// The head of both segments. The ring follows it. `mark` is the word `cancelled` in REQUEST and
// `taken` in RESPONSE. `overran` is used in RESPONSE only.
struct Head {
  alignas(kLine) Word sleeping;
  alignas(kLine) Word mark;
  Word overran;
};
static_assert(sizeof(Head) == 128 && offsetof(Head, mark) == 64 && offsetof(Head, overran) == 72,
              "PROTOCOL.md, heads");

struct TensorEntry {
  int32_t dtype;
  uint32_t rank;
  uint64_t offset;
  uint64_t bytes;
  int64_t dims[kMaxRank];
  uint8_t zero[8];
};
static_assert(sizeof(TensorEntry) == 160 && offsetof(TensorEntry, dims) == 24,
              "PROTOCOL.md, tables");

struct ErrorRecord {
  int32_t status;
  uint32_t zero;
  int64_t row;
  char name[128];
  char expected[96];
  char got[96];
  char message[1024];
};
static_assert(sizeof(ErrorRecord) == 1360 && offsetof(ErrorRecord, message) == 336,
              "PROTOCOL.md, error record");

// A list of faults follows the error record: first the texts, then the rows.
constexpr uint32_t kMaxFaultRows = 1000;
enum FaultKind : uint32_t {
  kFeatureFault = 0,
  kInputFault = 1,
  kOutputFault = 2,
  kColumnFault = 3,
  kStepFault = 4
};

struct FaultTextEntry {
  int32_t status;
  uint32_t kind;
  char name[128];
  char expected[96];
  char got[96];
};
static_assert(sizeof(FaultTextEntry) == 328 && offsetof(FaultTextEntry, expected) == 136,
              "PROTOCOL.md, faults");

struct FaultRowEntry {
  int64_t row;
  uint32_t text;
  uint32_t zero;
};
static_assert(sizeof(FaultRowEntry) == 16, "PROTOCOL.md, faults");

constexpr uint64_t failure_bytes(uint64_t texts, uint64_t rows) {
  return sizeof(ErrorRecord) + texts * sizeof(FaultTextEntry) + rows * sizeof(FaultRowEntry);
}

constexpr uint64_t align_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }
constexpr uint64_t head_bytes(uint32_t slots) {
  return align_up(sizeof(Head) + kLine * slots, kPage);
}
constexpr uint64_t segment_bytes(uint32_t slots, uint64_t slot_bytes) {
  return head_bytes(slots) + slots * slot_bytes;
}
constexpr uint64_t table_bytes(size_t tensors) {
  return align_up(sizeof(TensorEntry) * tensors, kLine);
}

}  // namespace sidecall::shm
