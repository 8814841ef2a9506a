// SHA-256 against the examples of NIST, and the instructions of this processor against plain C++.
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/artifact/sha256.h"

using sidecall::Sha256;
using sidecall::Sha256Blocks;

namespace {

std::string hash_of(Sha256Blocks add_blocks, const std::string& bytes) {
  Sha256 hash(add_blocks);
  hash.update(bytes);
  return hash.hex();
}

std::vector<Sha256Blocks> kinds() {
  std::vector<Sha256Blocks> all = {sidecall::sha256_blocks_plain};
  for (const Sha256Blocks more : {sidecall::sha256_blocks_x86(), sidecall::sha256_blocks_arm()}) {
    if (more != nullptr) all.push_back(more);
  }
  return all;
}

}  // namespace

TEST_CASE("every kind of SHA-256 gives the results of the standard's examples") {
  // FIPS 180-4 examples and NIST's long example of a million letters.
  const std::vector<std::pair<std::string, std::string>> examples = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmn"
       "op"
       "qrsmnopqrstnopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
      {std::string(1000000, 'a'),
       "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const Sha256Blocks kind : kinds()) {
    for (const auto& [text, expected] : examples) CHECK(hash_of(kind, text) == expected);
  }
  CHECK(hash_of(sidecall::sha256_blocks(), "abc") == examples[1].second);
}

TEST_CASE("all kinds of SHA-256 agree for every length around the size of a block") {
  std::string bytes;
  for (size_t i = 0; i < 400; ++i) bytes += static_cast<char>(i * 167 + i / 256);
  for (size_t length = 0; length <= bytes.size(); ++length) {
    const std::string text = bytes.substr(0, length);
    const std::string expected = hash_of(sidecall::sha256_blocks_plain, text);
    for (const Sha256Blocks kind : kinds()) {
      REQUIRE(hash_of(kind, text) == expected);
      // In two parts, which need not end with a block.
      Sha256 hash(kind);
      hash.update(text.substr(0, length / 3));
      hash.update(text.substr(length / 3));
      REQUIRE(hash.hex() == expected);
    }
  }
}
