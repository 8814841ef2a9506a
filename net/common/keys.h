// Names that sidecall adds to the Open Inference Protocol; net/PROTOCOL.md describes them.
#pragma once

namespace sidecall::net {

// Among the properties of a model: the text of its contract.
inline constexpr const char* kContractKey = "sidecall.contract";
// Among the properties of a model and the parameters of an answer: the id of the model.
inline constexpr const char* kModelIdKey = "sidecall.model_id";
// Among the properties of a model: "passed" if its golden rows ran when the server opened it.
inline constexpr const char* kGoldenRowsKey = "sidecall.golden_rows";
// Among the properties of a model: "yes" if a run has no effect but its answer, so that it may be
// executed twice, else "no".
inline constexpr const char* kRepeatableKey = "sidecall.repeatable";
// A header of requests over HTTP: how many milliseconds the client waits for the answer.
inline constexpr const char* kTimeoutHeader = "Sidecall-Timeout-Ms";
// The same among the headers of a message that was read.
inline constexpr const char* kTimeoutField = "sidecall-timeout-ms";
// An extension that a server over HTTP announces: null in the JSON of a tensor is a missing value.
inline constexpr const char* kNullExtension = "sidecall.null/1";
// Trailers of an error over gRPC: the name of the status, and the faults as JSON in base64.
inline constexpr const char* kStatusTrailer = "sidecall-status";
inline constexpr const char* kFaultsTrailer = "sidecall-faults-bin";
// Length of the JSON in a body that has binary tensors after it.
inline constexpr const char* kJsonLengthHeader = "Inference-Header-Content-Length";
// The same among the headers of a message that was read.
inline constexpr const char* kJsonLengthField = "inference-header-content-length";

}  // namespace sidecall::net
