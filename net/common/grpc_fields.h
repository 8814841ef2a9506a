// Field numbers of the messages of inference.GRPCInferenceService, from the protocol's own
// open_inference_grpc.proto.
#pragma once

#include <cstdint>

namespace sidecall::net::grpc {

inline constexpr const char* kInferenceService = "inference.GRPCInferenceService";

// A model and its version, in ModelReadyRequest, ModelMetadataRequest and ModelInferRequest.
inline constexpr uint32_t kModelName = 1, kModelVersion = 2;

// ModelReadyResponse
inline constexpr uint32_t kReady = 1;

// ServerMetadataResponse
inline constexpr uint32_t kServerName = 1, kServerVersion = 2, kServerExtensions = 3;

// ModelMetadataResponse, and its TensorMetadata
inline constexpr uint32_t kMetadataName = 1, kMetadataVersions = 2, kMetadataPlatform = 3;
inline constexpr uint32_t kMetadataInputs = 4, kMetadataOutputs = 5, kMetadataProperties = 6;

// InferInputTensor, InferRequestedOutputTensor, InferOutputTensor and TensorMetadata
inline constexpr uint32_t kTensorName = 1, kTensorDatatype = 2, kTensorShape = 3;
inline constexpr uint32_t kTensorParameters = 4, kTensorContents = 5;

// InferRequestedOutputTensor; its name is kTensorName
inline constexpr uint32_t kOutputParameters = 2;

// ModelInferRequest
inline constexpr uint32_t kRequestParameters = 4;
inline constexpr uint32_t kRequestInputs = 5, kRequestOutputs = 6, kRawInputs = 7;

// ModelInferResponse
inline constexpr uint32_t kResponseParameters = 4, kResponseOutputs = 5, kRawOutputs = 6;

// The id of a run, in ModelInferRequest and ModelInferResponse
inline constexpr uint32_t kRunId = 3;

// InferParameter
inline constexpr uint32_t kStringParameter = 3;

// The fields of InferTensorContents.
inline constexpr uint32_t kBools = 1, kInt32s = 2, kInt64s = 3, kUint32s = 4, kUint64s = 5,
                          kFloats = 6, kDoubles = 7, kBytes = 8;

// An entry of a map.
inline constexpr uint32_t kKey = 1, kValue = 2;

}  // namespace sidecall::net::grpc
