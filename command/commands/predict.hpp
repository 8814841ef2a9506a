// The two modes of predict: rows in batches (predict_rows.cpp), and line by line for a program at
// the other end of a pipe (stream.cpp); used by predict.cpp.
#pragma once

#include <string>

#include "rows/answers.hpp"
#include "rows/source.hpp"

namespace sidecall::cli {

enum class OnError { kFail, kSkip, kNull };

struct PredictRun {
  RowReader& reader;
  RowCall& call;
  const RowOptions& options;
  Answers& answers;
  size_t batch;
  OnError on_error;
};

// Both return an ExitCode.
int predict_rows(const PredictRun& run, RowSource& source);
int predict_stream(const PredictRun& run);

}  // namespace sidecall::cli
