"""Writes the descriptors of the services of gRPC as C++: generate_descriptors.py

The server answers reflection with them (net/server/grpc/reflection.cpp). A test compares the written
file with what this program would write. Needs grpcio-tools.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "net/server/grpc/protos"
WRITTEN = ROOT / "net/server/grpc/descriptors.inc"
REFLECTION = "grpc/reflection/v1/reflection.proto"
FILES = ["open_inference.proto", "grpc/health/v1/health.proto", REFLECTION]


def compile_files() -> list[FileDescriptorProto]:
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/out"
        status = protoc.main(["protoc", f"-I{PROTOS}", f"--descriptor_set_out={out}", *FILES])
        assert status == 0
        compiled = FileDescriptorSet.FromString(Path(out).read_bytes())
    files = [without_json_names(file) for file in compiled.file]
    # Older programs know reflection only as v1alpha, which is the same in another package.
    old = next(file for file in files if file.name == REFLECTION).SerializeToString()
    renamed = FileDescriptorProto.FromString(old)
    renamed.name = renamed.name.replace("/v1/", "/v1alpha/")
    renamed.package += "alpha"
    for message in renamed.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".v1.", ".v1alpha.")
    for method in renamed.service[0].method:
        method.input_type = method.input_type.replace(".v1.", ".v1alpha.")
        method.output_type = method.output_type.replace(".v1.", ".v1alpha.")
    return [*files, renamed]


def without_json_names(file: FileDescriptorProto) -> FileDescriptorProto:
    """Removes the names for JSON: protoc derives them from the names, as each reader can."""

    def clear(message: DescriptorProto) -> None:
        for field in message.field:
            field.ClearField("json_name")
        for nested in message.nested_type:
            clear(nested)

    for message in file.message_type:
        clear(message)
    return file


def symbols(file: FileDescriptorProto) -> Iterator[str]:
    def of_message(prefix: str, message: DescriptorProto) -> Iterator[str]:
        name = f"{prefix}.{message.name}"
        yield name
        yield from (f"{name}.{field.name}" for field in message.field)
        yield from (f"{name}.{each.name}" for each in message.enum_type)
        for nested in message.nested_type:
            yield from of_message(name, nested)

    for message in file.message_type:
        yield from of_message(file.package, message)
    for service in file.service:
        name = f"{file.package}.{service.name}"
        yield name
        yield from (f"{name}.{method.name}" for method in service.method)


def literal(data: bytes, indent: str = "    ") -> str:
    """The bytes as adjacent literals. Octal escapes end after three digits."""
    width = 95 - len(indent)
    lines, line = [], ""
    for byte in data:
        char = chr(byte)
        is_plain = 32 <= byte < 127 and char not in '"\\?'
        text = char if is_plain else f"\\{byte:03o}"
        if len(line) + len(text) > width:
            lines.append(line)
            line = ""
        line += text
    return "\n".join(f'{indent}"{each}"' for each in [*lines, line])


def write() -> str:
    files = compile_files()
    out = ["// Descriptors of the services of gRPC. Written by tools/generate_descriptors.py."]
    for number, file in enumerate(files):
        data = file.SerializeToString(deterministic=True)
        out.append(f"constexpr char kDescriptor{number}[] =\n{literal(data)};")
        names = ",\n".join(f'    "{name}"' for name in symbols(file))
        out.append(f"constexpr std::string_view kSymbols{number}[] = {{\n{names}}};")
    described = ",\n".join(
        f'    {{"{file.name}",\n     {{kDescriptor{i}, sizeof kDescriptor{i} - 1}},\n'
        f"     kSymbols{i},\n     std::size(kSymbols{i})}}"
        for i, file in enumerate(files)
    )
    out.append(f"constexpr DescribedFile kDescribedFiles[] = {{\n{described}}};")
    services = ",\n".join(
        f'    "{file.package}.{service.name}"' for file in files for service in file.service
    )
    out.append(f"constexpr std::string_view kServices[] = {{\n{services}}};")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    WRITTEN.write_text(write())
