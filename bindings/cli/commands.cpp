// The table of commands: a new command is a new file and one line here.
#include "command.hpp"

namespace sidecall::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      {"predict", "answer rows: JSON Lines or CSV in and out", "sidecall predict fraud.onnx rows.csv --keep tx_id > answers.csv",
       run_predict},
      {"run", "tensors in, tensors out: .npy files", "sidecall run resnet.onnx --tensor image=@x.npy --out scores=@y.npy", run_run},
      {"info", "what a model takes and gives, and how it was made", "sidecall info fraud.onnx", run_info},
      {"verify", "run the golden rows on this machine", "sidecall verify fraud.onnx churn.onnx", run_verify},
      {"diff", "would a caller of the old model break with the new one?", "sidecall diff old.onnx new.onnx", run_diff},
      {"types", "the model's types as TypeScript, for open<Fraud>() in Node.js", "sidecall types fraud.onnx > fraud.d.ts", run_types},
      {"serve", "let other processes of this host call a model", "sidecall serve fraud.onnx --at shm:fraud", run_serve},
      {"status", "how a server is doing; --ready for probes", "sidecall status shm:fraud", run_status},
      {"export", "write a model file (by the Python package)", "sidecall export m.joblib -o fraud.onnx --data X.csv --trust-pickle",
       run_export},
      {"check", "which steps of a pipeline convert (by the Python package)", "sidecall check m.joblib --trust-pickle", run_check},
      {"doctor", "what was found on this machine: engine, settings, Python", "sidecall doctor", run_doctor},
  };
  return table;
}

}  // namespace sidecall::cli
