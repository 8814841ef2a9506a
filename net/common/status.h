// What each status of sidecall is called, and its code over gRPC. base/http_status.h has the codes
// of HTTP.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string_view>

namespace sidecall::net {

// Status codes of gRPC (google.rpc.Code).
enum GrpcCode {
  kGrpcOk = 0,
  kGrpcCancelled = 1,
  kGrpcUnknown = 2,
  kGrpcInvalidArgument = 3,
  kGrpcDeadlineExceeded = 4,
  kGrpcNotFound = 5,
  kGrpcPermissionDenied = 7,
  kGrpcResourceExhausted = 8,
  kGrpcFailedPrecondition = 9,
  kGrpcUnimplemented = 12,
  kGrpcInternal = 13,
  kGrpcUnavailable = 14,
  kGrpcUnauthenticated = 16
};

// The status of HTTP that metrics and the log use for a code of gRPC. A method or feature that the
// server does not have counts as a mistake of the client, as over HTTP.
constexpr int http_status_of_grpc(int code) noexcept {
  switch (code) {
    case kGrpcOk:
      return 200;
    case kGrpcInvalidArgument:
    case kGrpcFailedPrecondition:
      return 400;
    case kGrpcUnauthenticated:
      return 401;
    case kGrpcPermissionDenied:
      return 403;
    case kGrpcNotFound:
    case kGrpcUnimplemented:
      return 404;
    case kGrpcCancelled:
      return 499;
    case kGrpcResourceExhausted:
    case kGrpcUnavailable:
      return 503;
    case kGrpcDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

struct StatusCodes {
  int32_t status;
  const char* name;
  int grpc;
};

// In the order of sidecall.h. A served function may end a run with any of them.
inline constexpr StatusCodes kStatusCodes[] = {
    {SIDECALL_INVALID_ARGUMENT, "INVALID_ARGUMENT", kGrpcInvalidArgument},
    {SIDECALL_BUSY, "BUSY", kGrpcResourceExhausted},
    {SIDECALL_CANCELLED, "CANCELLED", kGrpcCancelled},
    {SIDECALL_FILE_NOT_FOUND, "FILE_NOT_FOUND", kGrpcInternal},
    {SIDECALL_FILE_UNREADABLE, "FILE_UNREADABLE", kGrpcInternal},
    {SIDECALL_FILE_INVALID, "FILE_INVALID", kGrpcInternal},
    {SIDECALL_FILE_TOO_LARGE, "FILE_TOO_LARGE", kGrpcInternal},
    {SIDECALL_FILE_FORBIDDEN, "FILE_FORBIDDEN", kGrpcInternal},
    {SIDECALL_CONTRACT_INVALID, "CONTRACT_INVALID", kGrpcInternal},
    {SIDECALL_CONTRACT_FORMAT, "CONTRACT_FORMAT", kGrpcInternal},
    {SIDECALL_NO_CONTRACT, "NO_CONTRACT", kGrpcFailedPrecondition},
    {SIDECALL_UNSUPPORTED, "UNSUPPORTED", kGrpcInvalidArgument},
    {SIDECALL_VERIFICATION_FAILED, "VERIFICATION_FAILED", kGrpcInternal},
    {SIDECALL_CONTRACT_CHANGED, "CONTRACT_CHANGED", kGrpcInternal},
    {SIDECALL_DTYPE_MISMATCH, "DTYPE_MISMATCH", kGrpcInvalidArgument},
    {SIDECALL_SHAPE_MISMATCH, "SHAPE_MISMATCH", kGrpcInvalidArgument},
    {SIDECALL_UNKNOWN_NAME, "UNKNOWN_NAME", kGrpcInvalidArgument},
    {SIDECALL_MISSING_INPUT, "MISSING_INPUT", kGrpcInvalidArgument},
    {SIDECALL_MISSING_VALUE, "MISSING_VALUE", kGrpcInvalidArgument},
    {SIDECALL_UNKNOWN_CATEGORY, "UNKNOWN_CATEGORY", kGrpcInvalidArgument},
    {SIDECALL_INVALID_STRING, "INVALID_STRING", kGrpcInvalidArgument},
    {SIDECALL_INVALID_JSON, "INVALID_JSON", kGrpcInvalidArgument},
    {SIDECALL_OUT_OF_RANGE, "OUT_OF_RANGE", kGrpcInvalidArgument},
    {SIDECALL_REFUSED, "REFUSED", kGrpcInvalidArgument},
    {SIDECALL_PEER_DIED, "PEER_DIED", kGrpcUnavailable},
    {SIDECALL_TIMEOUT, "TIMEOUT", kGrpcDeadlineExceeded},
    {SIDECALL_UNREACHABLE, "UNREACHABLE", kGrpcUnavailable},
    {SIDECALL_DENIED, "DENIED", kGrpcPermissionDenied},
    {SIDECALL_PROTOCOL, "PROTOCOL", kGrpcInvalidArgument},
    {SIDECALL_FORKED, "FORKED", kGrpcInternal},
    {SIDECALL_ENGINE, "ENGINE", kGrpcInternal},
    {SIDECALL_ENGINE_NOT_FOUND, "ENGINE_NOT_FOUND", kGrpcInternal},
    {SIDECALL_ENGINE_TOO_OLD, "ENGINE_TOO_OLD", kGrpcInternal},
    {SIDECALL_OUT_OF_MEMORY, "OUT_OF_MEMORY", kGrpcResourceExhausted},
    {SIDECALL_INTERNAL, "INTERNAL", kGrpcInternal},
};

// The codes of a status. NOT_RUN, which says nothing about a run, becomes INTERNAL.
constexpr const StatusCodes& codes_of(int32_t status) noexcept {
  const StatusCodes* last = kStatusCodes;
  for (const StatusCodes& each : kStatusCodes) {
    last = &each;
    if (each.status == status) break;
  }
  return *last;
}

// The status with this name; SIDECALL_OK if there is none.
constexpr int32_t status_of_name(std::string_view name) noexcept {
  for (const StatusCodes& each : kStatusCodes) {
    if (name == each.name) return each.status;
  }
  return SIDECALL_OK;
}

}  // namespace sidecall::net
