// An opened model: signature, contract, engine, and the file if there is one; immutable and shared
// by all threads.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/process/per_process.h"
#include "clock.h"
#include "core/artifact/onnx_file.h"
#include "core/call/call.h"
#include "core/call/records.h"
#include "core/contract/contract.h"
#include "core/contract/signature.h"
#include "engine.h"

namespace sidecall {

// Everything that a model is made of besides its engine.
struct Origin {
  std::string label;                    // for messages: "file 'fraud.onnx'", "server 'shm:fraud'"
  std::string title;                    // a name in case no contract gives one; may be ""
  std::optional<std::string> contract;  // text of the contract, if there is one
  bool is_verified = false;             // the golden rows passed where the model runs
  // The deadline for the golden rows if the model is in another process; nullopt if it is in this
  // process.
  std::optional<Clock::time_point> deadline{};
  // The id of the file that the contract is from; "" if it is from a server or a function, whose
  // contract may name an id itself.
  std::string id{};
};

// Makes the engine that runs a file. `label` names the file in messages. `contract` is nullptr if
// the file has none.
using OpenEngine = ChosenEngine (*)(const OnnxFile& file, const std::string& label,
                                    const sidecall_model_options& options,
                                    const ContractDocument* contract);

class Model {
 public:
  // `uri` is a path or a file: URI. Throws the errors of sidecall_model_open().
  static std::shared_ptr<const Model> open(const std::string& uri,
                                           const sidecall_model_options& options,
                                           OpenEngine open_engine);
  static std::shared_ptr<const Model> open_bytes(std::string bytes,
                                                 const sidecall_model_options& options,
                                                 OpenEngine open_engine);

  // Makes a model that has no file in this process; the engine describes its tensors.
  static std::shared_ptr<const Model> from_engine(std::unique_ptr<Engine> engine,
                                                  const Origin& origin,
                                                  const sidecall_model_options& options);

  const Signature& signature() const { return signature_; }
  const Engine& engine() const { return *engine_.engine; }
  const std::string& engine_version() const { return engine_version_; }  // Engine::version()
  const std::string& engine_reason() const { return engine_.reason; }
  const Contract* contract() const { return has_contract_ ? &contract_ : nullptr; }
  const std::string& warning() const { return warning_; }
  // Whether the golden rows passed, in this process or where the model runs.
  bool is_verified() const { return is_verified_; }
  const OnnxFile* file() const { return file_ ? &*file_ : nullptr; }
  // The id of the model that runs now. The reference stays valid when the id changes.
  const std::string& id() const;
  // The name in the contract, or else the name of the file (without folder and extension) or of the
  // server; "" for bytes without a contract.
  std::string title() const;
  bool ignores_extra() const { return ignores_extra_; }

  std::string predict_json(std::string_view json) const { return predict_json(json, timeout_ns_); }
  std::string predict_json(std::string_view json, int64_t timeout_ns) const;
  // Sets the rows and the features of a call of this model from records, and returns whether they
  // are a list. Throws NO_CONTRACT, SHAPE_MISMATCH and the errors of RecordReader.
  bool read_records(std::string_view json, RecordReader* reader, Call* call) const;

 private:
  // The reusable state of a prediction from JSON.
  struct Workspace {
    Call call;
    RecordReader reader;
  };
  std::unique_ptr<Workspace> borrow_workspace() const;
  void return_workspace(std::unique_ptr<Workspace> workspace) const;

  Model(std::optional<OnnxFile> file, ChosenEngine engine, const Origin& origin,
        ContractDocument* contract, const sidecall_model_options& options);
  static std::shared_ptr<const Model> open_file(OnnxFile file, const std::string& name,
                                                const sidecall_model_options& options,
                                                OpenEngine open_engine);
  void read_contract(ContractDocument* document, const std::string& id);
  void verify_once(int32_t mode, const Origin& origin);
  void verify_replicas(std::vector<Replica> replicas, int32_t mode,
                       std::optional<Clock::time_point> deadline);

  const std::string title_;
  std::optional<OnnxFile> file_;
  ChosenEngine engine_;
  const std::string engine_version_;
  Signature signature_;
  bool has_contract_ = false;
  Contract contract_;
  bool ignores_extra_ = false;
  int64_t timeout_ns_ = -1;
  std::string warning_;
  bool is_verified_ = false;

  // What the threads of a process share. A forked child makes its own, because a thread of the
  // parent may have locked a mutex.
  struct Shared {
    explicit Shared(uint64_t created_in) : generation(created_in) {}
    const uint64_t generation;
    std::mutex ids_mutex;
    // The id of a file without a contract, or all ids that the engine ever returned. id() refers to
    // them.
    std::set<std::string> ids;
    std::mutex workspaces_mutex;
    std::vector<std::unique_ptr<Workspace>> workspaces;
  };
  mutable PerProcess<Shared> shared_;
};

}  // namespace sidecall
