// The table of commands and the table of environment variables. A new command needs a new file and
// an entry here.
#include "command.hpp"

namespace sidecall::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      {"predict", "answer rows of JSON Lines or CSV",
       "sidecall predict fraud.onnx rows.csv --keep tx_id > answers.csv", run_predict},
      {"run", "run a model on tensors in .npy files",
       "sidecall run resnet.onnx --tensor image=@x.npy --out scores=@y.npy", run_run},
      {"info", "show the features, outputs and origin of a model", "sidecall info fraud.onnx",
       run_info},
      {"verify", "run the golden rows of models on this machine",
       "sidecall verify fraud.onnx churn.onnx", run_verify},
      {"bench", "measure calls of a model with its golden rows", "sidecall bench shm:fraud",
       run_bench},
      {"diff", "show whether a new model would break the callers of the old one",
       "sidecall diff old.onnx new.onnx", run_diff},
      {"types", "write the types of a model as TypeScript or Python",
       "sidecall types fraud.onnx > fraud.d.ts", run_types},
      {"serve", "serve a model to other processes of this host",
       "sidecall serve fraud.onnx --at shm:fraud", run_serve,
       "--workers --trust-pickle --data --drop --feature-names --contract --name --version "
       "--golden --no-ranges"},
      {"status", "show the state and the counters of a server", "sidecall status shm:fraud",
       run_status},
      {"lambda", "answer the events of a function of AWS Lambda",
       "sidecall lambda fraud.onnx --zip function.zip", run_lambda},
      {"export", "export a pipeline as a model file (uses Python)",
       "sidecall export m.joblib -o fraud.onnx --data X.csv --trust-pickle", run_export,
       "--output --trust-pickle --data --drop --feature-names --name --version --metadata --golden "
       "--no-ranges --dtype --epoch --precision --layout --quiet"},
      {"check", "show which steps of a pipeline can be exported (uses Python)",
       "sidecall check m.joblib --trust-pickle", run_check,
       "--trust-pickle --data --drop --feature-names"},
      {"compare", "compare a model file with its original on rows (uses Python)",
       "sidecall compare fraud.onnx rows.parquet --original m.joblib --trust-pickle", run_compare,
       "--original --trust-pickle --max-moved --absolute --relative --dtype --stability --worst "
       "--chunk --json --quiet",
       "MODEL ROWS"},
      {"doctor", "show what was found here: ONNX Runtime, Python, Node.js, limits",
       "sidecall doctor", run_doctor},
      {"completion", "write the completion for bash, zsh or fish",
       "source <(sidecall completion bash)", run_completion},
      {"man", "write the manual page", "sidecall man | man -l -", run_man},
  };
  return table;
}

const std::vector<Setting>& settings() {
  static const std::vector<Setting> table = {
      {"SIDECALL_ONNXRUNTIME", "path of the ONNX Runtime library to load (default: a search)"},
      {"SIDECALL_ENGINE",
       "auto, native or onnxruntime; overrides --engine and the settings of programs"},
      {"SIDECALL_NET", "path of libsidecall-net.so, for models on other hosts (default: a search)"},
      {"SIDECALL_PYTHON", "Python interpreter for export, check, compare and serve"},
      {"SIDECALL_VERIFY", "error, warn or off; overrides --verify and the settings of programs"},
      {"SIDECALL_SPIN_US",
       "microseconds for which a call to another process polls before it sleeps"},
      {"XDG_RUNTIME_DIR", "if set, shm:NAME is the socket sidecall/NAME.sock in this folder"},
      {"AWS_LAMBDA_RUNTIME_API",
       "set by AWS Lambda, like _HANDLER and LAMBDA_TASK_ROOT; for the command lambda"},
      {"ORT_DISABLE_TELEMETRY", "1 (the default) turns the telemetry of ONNX Runtime off"},
  };
  return table;
}

}  // namespace sidecall::cli
