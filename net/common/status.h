// What each status of sidecall is over HTTP and over gRPC.
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

struct StatusCodes {
  int32_t status;
  const char* name;
  int http;
  int grpc;
};

// In the order of sidecall.h. A served function may end a run with any of them.
inline constexpr StatusCodes kStatusCodes[] = {
    {SIDECALL_INVALID_ARGUMENT, "INVALID_ARGUMENT", 400, kGrpcInvalidArgument},
    {SIDECALL_BUSY, "BUSY", 503, kGrpcResourceExhausted},
    {SIDECALL_CANCELLED, "CANCELLED", 499, kGrpcCancelled},
    {SIDECALL_FILE_NOT_FOUND, "FILE_NOT_FOUND", 500, kGrpcInternal},
    {SIDECALL_FILE_UNREADABLE, "FILE_UNREADABLE", 500, kGrpcInternal},
    {SIDECALL_FILE_INVALID, "FILE_INVALID", 500, kGrpcInternal},
    {SIDECALL_FILE_TOO_LARGE, "FILE_TOO_LARGE", 500, kGrpcInternal},
    {SIDECALL_FILE_FORBIDDEN, "FILE_FORBIDDEN", 500, kGrpcInternal},
    {SIDECALL_CONTRACT_INVALID, "CONTRACT_INVALID", 500, kGrpcInternal},
    {SIDECALL_CONTRACT_FORMAT, "CONTRACT_FORMAT", 500, kGrpcInternal},
    {SIDECALL_NO_CONTRACT, "NO_CONTRACT", 400, kGrpcFailedPrecondition},
    {SIDECALL_UNSUPPORTED, "UNSUPPORTED", 400, kGrpcInvalidArgument},
    {SIDECALL_VERIFICATION_FAILED, "VERIFICATION_FAILED", 500, kGrpcInternal},
    {SIDECALL_CONTRACT_CHANGED, "CONTRACT_CHANGED", 500, kGrpcInternal},
    {SIDECALL_DTYPE_MISMATCH, "DTYPE_MISMATCH", 400, kGrpcInvalidArgument},
    {SIDECALL_SHAPE_MISMATCH, "SHAPE_MISMATCH", 400, kGrpcInvalidArgument},
    {SIDECALL_UNKNOWN_NAME, "UNKNOWN_NAME", 400, kGrpcInvalidArgument},
    {SIDECALL_MISSING_INPUT, "MISSING_INPUT", 400, kGrpcInvalidArgument},
    {SIDECALL_MISSING_VALUE, "MISSING_VALUE", 400, kGrpcInvalidArgument},
    {SIDECALL_UNKNOWN_CATEGORY, "UNKNOWN_CATEGORY", 400, kGrpcInvalidArgument},
    {SIDECALL_INVALID_STRING, "INVALID_STRING", 400, kGrpcInvalidArgument},
    {SIDECALL_INVALID_JSON, "INVALID_JSON", 400, kGrpcInvalidArgument},
    {SIDECALL_OUT_OF_RANGE, "OUT_OF_RANGE", 400, kGrpcInvalidArgument},
    {SIDECALL_REFUSED, "REFUSED", 400, kGrpcInvalidArgument},
    {SIDECALL_PEER_DIED, "PEER_DIED", 502, kGrpcUnavailable},
    {SIDECALL_TIMEOUT, "TIMEOUT", 504, kGrpcDeadlineExceeded},
    {SIDECALL_UNREACHABLE, "UNREACHABLE", 502, kGrpcUnavailable},
    {SIDECALL_DENIED, "DENIED", 403, kGrpcPermissionDenied},
    {SIDECALL_PROTOCOL, "PROTOCOL", 400, kGrpcInvalidArgument},
    {SIDECALL_FORKED, "FORKED", 500, kGrpcInternal},
    {SIDECALL_ENGINE, "ENGINE", 500, kGrpcInternal},
    {SIDECALL_ENGINE_NOT_FOUND, "ENGINE_NOT_FOUND", 500, kGrpcInternal},
    {SIDECALL_ENGINE_TOO_OLD, "ENGINE_TOO_OLD", 500, kGrpcInternal},
    {SIDECALL_OUT_OF_MEMORY, "OUT_OF_MEMORY", 503, kGrpcResourceExhausted},
    {SIDECALL_INTERNAL, "INTERNAL", 500, kGrpcInternal},
};

// The codes of a status. Those that say nothing about a run (NOT_RUN, PENDING) become INTERNAL.
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
