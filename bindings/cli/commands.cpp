// The table of commands and the table of environment variables. A new command needs a new file and
// an entry here.
#include "command.hpp"

namespace sidecall::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      {"predict", "answer rows: JSON Lines or CSV in and out",
       "sidecall predict fraud.onnx rows.csv --keep tx_id > answers.csv", run_predict},
      {"run", "tensors in, tensors out: .npy files",
       "sidecall run resnet.onnx --tensor image=@x.npy --out scores=@y.npy", run_run},
      {"info", "what a model takes and gives, and how it was made", "sidecall info fraud.onnx",
       run_info},
      {"verify", "run the golden rows on this machine", "sidecall verify fraud.onnx churn.onnx",
       run_verify},
      {"bench", "how long its calls take here, with its own golden rows",
       "sidecall bench shm:fraud", run_bench},
      {"diff", "would a caller of the old model break with the new one?",
       "sidecall diff old.onnx new.onnx", run_diff},
      {"types", "the model's types as TypeScript, for open<Fraud>() in Node.js",
       "sidecall types fraud.onnx > fraud.d.ts", run_types},
      {"serve", "let other processes of this host call a model",
       "sidecall serve fraud.onnx --at shm:fraud", run_serve,
       "--workers --trust-pickle --data --drop --feature-names --contract --name --version "
       "--golden --no-ranges"},
      {"status", "how a server is doing; --ready for probes", "sidecall status shm:fraud",
       run_status},
      {"export", "write a model file (by the Python package)",
       "sidecall export m.joblib -o fraud.onnx --data X.csv --trust-pickle", run_export,
       "--output --trust-pickle --data --drop --feature-names --name --version --metadata --golden "
       "--no-ranges --dtype --precision "
       "--quiet"},
      {"check", "which steps of a pipeline convert (by the Python package)",
       "sidecall check m.joblib --trust-pickle", run_check,
       "--trust-pickle --data --drop --feature-names"},
      {"compare", "do its answers equal the original's? (by the Python package)",
       "sidecall compare fraud.onnx rows.parquet --original m.joblib --trust-pickle", run_compare,
       "--original --trust-pickle --max-moved --absolute --relative --dtype --stability --worst "
       "--chunk --json --quiet",
       "MODEL ROWS"},
      {"doctor", "what was found on this machine: engine, Python, Node, limits", "sidecall doctor",
       run_doctor},
      {"completion", "what a shell needs to complete the command line",
       "source <(sidecall completion bash)", run_completion},
      {"man", "the manual page", "sidecall man | man -l -", run_man},
  };
  return table;
}

const std::vector<Setting>& settings() {
  static const std::vector<Setting> table = {
      {"SIDECALL_ONNXRUNTIME", "the ONNX Runtime library to load, in place of a search"},
      {"SIDECALL_PYTHON", "the interpreter that export, check, compare and serve use"},
      {"SIDECALL_VERIFY", "error, warn or off: over every program's own setting"},
      {"SIDECALL_SPIN_US",
       "how long a call of another process spins before it sleeps, in microseconds"},
      {"XDG_RUNTIME_DIR", "shm:NAME is sidecall/NAME.sock there, where it is set"},
      {"ORT_DISABLE_TELEMETRY", "1 unless set: ONNX Runtime reports nothing"},
  };
  return table;
}

}  // namespace sidecall::cli
