// Converts a caller's rows to messages of prediction.proto, and back. Used by body_protobuf.cpp and
// transports/grpc.cpp.
#pragma once

#include <prediction.pb.h>

#include "workload.h"

namespace bench {

// Pass the same message for each call, because protobuf reuses its memory.
void fill(const Workload& workload, int64_t first_row, int64_t rows,
          prediction::PredictRequest& request);
void fill(const Workload& workload, int64_t first_row, prediction::RecordRequest& request);

void read(const prediction::PredictResponse& response, Answer& answer);
void read(const Workload& workload, const prediction::RecordResponse& response, Answer& answer);

}  // namespace bench
