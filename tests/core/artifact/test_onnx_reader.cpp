// The strict reader of ONNX files: it refuses what protobuf parsers could read in two ways, and the
// error names the place.
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/artifact/onnx_file.h"
#include "core/error.h"
#include "onnx_builder.h"
#include "tests/core/records_model.h"

using onnx::bytes;
using onnx::number;
using onnx::varint;
using sidecall::OnnxFile;

namespace {

using namespace std::string_literals;

// "" if the bytes are accepted, otherwise the refusal.
std::string refusal_of(const std::string& model) {
  try {
    const OnnxFile file(model, "", "m");
    REQUIRE(file.engine_input().model() == model);
    return "";
  } catch (const sidecall::Error& error) {
    REQUIRE(error.status() == SIDECALL_FILE_INVALID);
    return error.what();
  }
}

bool refuses(const std::string& model, const std::string& words) {
  const std::string refusal = refusal_of(model);
  INFO(refusal);
  CHECK(refusal.find(words) != std::string::npos);
  return refusal.find(words) != std::string::npos;
}

std::string graph(const std::string& payload) { return bytes(7, payload); }
std::string node(const std::string& payload) { return graph(bytes(1, payload)); }
std::string attribute(const std::string& payload) { return node(bytes(5, payload)); }
std::string initializer(const std::string& payload) { return graph(bytes(5, payload)); }

}  // namespace

TEST_CASE("valid ONNX is accepted and passed on unchanged") {
  const std::string packed = bytes(8, varint(1) + varint(300) + varint(static_cast<uint64_t>(-1)));
  const std::vector<std::string> sound = {
      graph(""),
      number(1, 8) + graph("") + bytes(2, "producer") + number(5, -1),
      attribute(bytes(1, "a") + number(8, 1) + number(8, -1) + number(8, 300) + number(20, 7)),
      attribute(packed + number(8, 4) + packed),
      attribute(onnx::fixed32(7, 1) + onnx::fixed32(7, 2) + bytes(7, std::string(8, '\0')) +
                bytes(7, "")),
      attribute(bytes(9, "\xff\xfe") + bytes(4, "\xff")),
      initializer(onnx::tensor("w", 1, {2}, std::string(8, 'x'))),
      initializer(bytes(10, std::string(16, 'x')) + "\x51" + std::string(8, 'x') +
                  number(5 << 0, -7)),
      graph(bytes(11, bytes(2, bytes(9, bytes(1, bytes(4, bytes(1, bytes(1, number(1, 1))))))))),
      graph("") + bytes(20, bytes(1, "")) + bytes(25, bytes(1, "f")) +
          bytes(26, bytes(1, "device")),
      graph("") + bytes(14, bytes(1, "key") + bytes(2, "\xff")),
  };
  for (const std::string& model : sound) CHECK(refusal_of(model) == "");
}

TEST_CASE("files in which an engine finds nothing to optimise are recognised") {
  const auto has_only_tree_nodes = [](const std::vector<const char*>& operators) {
    std::string nodes;
    for (const char* name : operators) nodes += bytes(1, bytes(4, name) + bytes(7, "ai.onnx.ml"));
    return OnnxFile(graph(nodes), "", "m").has_only_tree_nodes();
  };
  CHECK(has_only_tree_nodes({"TreeEnsemble", "ArgMax", "Softmax"}));
  CHECK(has_only_tree_nodes({"TreeEnsembleClassifier"}));
  CHECK_FALSE(has_only_tree_nodes({"Cast", "TreeEnsemble"}));
  CHECK_FALSE(has_only_tree_nodes({"Gemm", "ArgMax", "Softmax"}));
  CHECK_FALSE(has_only_tree_nodes({"TreeEnsemble", ""}));
}

TEST_CASE("unknown fields and groups are refused") {
  CHECK(refuses(graph("") + bytes(31, ""), "an unknown field (31) at byte 2"));
  CHECK(refuses(graph("") + bytes(1000, ""), "an unknown field (1000) at byte 2"));
  CHECK(refuses(graph("") + bytes(200000, ""), "an unknown field at byte 2"));
  CHECK(refuses(graph("") + "\x00"s, "an unknown field (0) at byte 2"));
  CHECK(refuses(graph(bytes(3, "")), "an unknown field (3) at byte 2 in graph"));
  CHECK(refuses(graph(bytes(12, bytes(2, "\x0b\x0c"))),
                "'tensor_type' with the wrong wire type at byte 6 in graph.output[0].type"));
  CHECK(refuses(node("") + graph(""), "'graph' twice at byte 4"));
  CHECK(refuses(graph(bytes(1, "") + bytes(1, bytes(5, "") + bytes(5, number(16, 1)))),
                "an unknown field (16) at byte 10 in graph.node[1].attribute[1]"));
}

TEST_CASE("a known field of another wire type is refused") {
  // Protobuf keeps the key of this entry; a reader that takes the last value of field 1 would lose
  // it.
  const std::string hidden =
      bytes(13, bytes(1, "location") + number(1, 0) + bytes(2, "../secret")) + number(14, 1);
  CHECK(refuses(
      initializer(hidden),
      "'key' with the wrong wire type at byte 16 in graph.initializer[0].external_data[0]"));
  CHECK(refuses(graph("") + bytes(1, ""), "'ir_version' with the wrong wire type"));
  CHECK(refuses(graph("") + number(2, 1), "'producer_name' with the wrong wire type"));
  CHECK(refuses(number(7, 1), "'graph' with the wrong wire type"));
  CHECK(refuses(attribute(number(2, 1)), "'f' with the wrong wire type"));
  CHECK(refuses(attribute(bytes(3, "\x01")), "'i' with the wrong wire type"));
  CHECK(refuses(attribute(number(7, 1)), "'floats' with the wrong wire type"));
  CHECK(refuses(attribute(onnx::fixed32(8, 1)), "'ints' with the wrong wire type"));
  CHECK(refuses(initializer(onnx::fixed32(10, 1)), "'double_data' with the wrong wire type"));
}

TEST_CASE("a singular field or a oneof that appears twice is refused") {
  CHECK(refuses(graph("") + graph(""), "'graph' twice at byte 2"));
  CHECK(refuses(graph("") + number(1, 8) + number(1, 8), "'ir_version' twice"));
  CHECK(refuses(initializer(bytes(9, "") + bytes(9, "")), "'raw_data' twice"));
  CHECK(refuses(initializer(number(14, 0) + number(14, 1)), "'data_location' twice"));
  CHECK(refuses(graph(bytes(11, bytes(2, bytes(1, "") + bytes(4, "")))),
                "'sequence_type' or another member of the same oneof twice"));
  CHECK(refuses(
      graph(bytes(11, bytes(2, bytes(1, bytes(2, bytes(1, number(1, 2) + bytes(2, "N"))))))),
      "'dim_param' or another member of the same oneof twice"));
}

TEST_CASE("numbers that are not in the shortest form or exceed their type are refused") {
  const std::string longer = "\x81\x00"s;
  CHECK(refuses("\xba\x00"s + varint(0), "an unknown field at byte 0"));
  CHECK(refuses("\xba\x80\x00\x00"s, "an unknown field at byte 0"));
  CHECK(refuses("\x3a"s + "\x80\x00"s, "not in its shortest form"));
  CHECK(refuses(graph("") + "\x08" + longer, "not in its shortest form"));
  CHECK(refuses(attribute(number(8, 1) + "\x40" + longer), "not in its shortest form"));
  CHECK(refuses(attribute(bytes(8, longer)), "not in its shortest form"));
  CHECK(refuses(graph("") + "\x08" + std::string(10, '\xff'), "more than 64 bits"));
  CHECK(refuses(graph("") + "\x08" + std::string(9, '\xff') + "\x02", "more than 64 bits"));
  CHECK(refuses(initializer(number(2, INT64_C(1) << 32 | 1)), "more than 32 bits for 'data_type'"));
  CHECK(refuses(initializer(number(2, UINT32_MAX)), "more than 32 bits for 'data_type'"));
  CHECK(refuses(initializer(number(5, INT64_C(1) << 31)), "more than 32 bits for 'int32_data'"));
  CHECK(refuses(initializer(bytes(5, varint(UINT64_C(1) << 40))),
                "more than 32 bits for 'int32_data'"));
  CHECK(refuses(initializer(number(14, 2)), "an unknown value of 'data_location'"));
  CHECK(refuses(attribute(number(20, 99)), "an unknown value of 'type'"));
  CHECK(refuses(attribute(number(20, -1)), "an unknown value of 'type'"));
}

TEST_CASE("lengths beyond their message and truncated numbers are refused") {
  CHECK(refuses("\x3a\x05\x0a", "a truncated message at byte 1"));
  CHECK(refuses("\x3a\xff\xff\xff\xff\x7f"s, "a truncated message at byte 1"));
  CHECK(refuses(graph("\x0a\x7f"), "a truncated message at byte 3 in graph"));
  CHECK(refuses(attribute("\x3d\x00\x00\x00"s), "a truncated message"));
  CHECK(refuses(attribute(onnx::fixed32(7, 1) + "\x3d\x00\x00\x00"s), "a truncated message"));
  CHECK(refuses(initializer("\x51" + std::string(7, 'x')), "a truncated message"));
  CHECK(refuses(attribute(bytes(7, "12345")), "an incomplete number in 'floats'"));
  CHECK(refuses(initializer(bytes(10, "1234567")), "an incomplete number in 'double_data'"));
  CHECK(refuses(attribute(bytes(8, "\x80")), "a truncated message"));
  CHECK(refuses(attribute(number(8, 1) + "\x40"), "a truncated message"));
  CHECK(refuses(graph("") + "\x08", "a truncated message"));
  CHECK(refuses(graph("") + "\xa2", "an unknown field at byte 2"));
}

TEST_CASE("text that is not UTF-8 is refused") {
  CHECK(refuses(graph("") + bytes(2, "\xff"), "'producer_name' that is not UTF-8"));
  CHECK(
      refuses(node(bytes(1, "\xc0\xaf")), "'input' that is not UTF-8 at byte 4 in graph.node[0]"));
  CHECK(refuses(graph("") + bytes(14, bytes(1, "\xff")), "'key' that is not UTF-8"));
}

TEST_CASE("messages can be nested at most a hundred levels deep") {
  const auto nested = [](int sequences) {
    std::string type;
    for (int i = 0; i < sequences; ++i) type = bytes(4, bytes(1, type));
    return graph(bytes(11, bytes(2, type)));
  };
  // Graph, input and type are three levels below the model; each sequence adds two.
  CHECK(refusal_of(nested(48)) == "");
  CHECK(refuses(nested(49), "nested more than 100 levels deep"));
  CHECK(refuses(nested(5000), "nested more than 100 levels deep"));
}
