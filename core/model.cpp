// Opens models and predicts for records; used by the C ABI.
#include "model.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "base/json/fault_json.h"
#include "core/artifact/file_contract.h"
#include "core/call/records.h"
#include "error.h"
#include "platform.h"
#include "text.h"
#include "uri.h"
#include "verify.h"

namespace sidecall {
namespace {

constexpr size_t kMaxKeptWorkspaces = 64;
constexpr int64_t kMaxKeptRows = 1024;

int32_t verify_mode(int32_t option) {
  const char* text = platform::environment("SIDECALL_VERIFY");
  if (text == nullptr || *text == '\0') return option;
  const std::string word = text;
  if (word == "error") return SIDECALL_VERIFY_ERROR;
  if (word == "warn") return SIDECALL_VERIFY_WARN;
  if (word == "off") return SIDECALL_VERIFY_OFF;
  throw Error(SIDECALL_INVALID_ARGUMENT,
              "SIDECALL_VERIFY: expected error, warn or off, got '" + printable(word) + "'");
}

// Whether the engine runs the graph of a file as it is, so that its outputs include the one that
// tells which rows are refused. sidecall's own servers hide this output, and refuse the rows.
bool shows_refusals(const Signature& signature, const ContractDocument& document) {
  const std::string name = document.refused_output();
  return !name.empty() &&
         std::any_of(signature.outputs.begin(), signature.outputs.end(),
                     [&](const TensorSpec& output) { return output.name == name; });
}

// The files whose golden rows passed in this process, by id and engine.
class Verified {
 public:
  explicit Verified(uint64_t created_in) : generation(created_in) {}
  bool contains(const std::string& key) {
    const std::lock_guard lock(mutex_);
    return keys_.count(key) != 0;
  }
  void add(const std::string& key) {
    const std::lock_guard lock(mutex_);
    keys_.insert(key);
  }
  const uint64_t generation;

 private:
  std::mutex mutex_;
  std::set<std::string> keys_;
};

}  // namespace

std::shared_ptr<const Model> Model::open(const std::string& uri,
                                         const sidecall_model_options& options,
                                         OpenEngine open_engine) {
  require(!uri.empty(), "uri: expected a path or a URI, got an empty string");
  const FileUri file = read_file_uri(uri);
  sidecall_model_options known = options;
  if (file.engine) known.engine = *file.engine;
  std::string bytes = platform::read_file(file.path, kMaxMessageBytes);
  const std::string folder = platform::folder_of(platform::real_path(file.path));
  return open_file(OnnxFile(std::move(bytes), folder, uri), uri, known, open_engine);
}

std::shared_ptr<const Model> Model::open_bytes(std::string bytes,
                                               const sidecall_model_options& options,
                                               OpenEngine open_engine) {
  if (bytes.size() > kMaxMessageBytes)
    throw Error(SIDECALL_FILE_TOO_LARGE, "bytes: expected at most 2 GiB, got more");
  return open_file(OnnxFile(std::move(bytes), "", "bytes"), "bytes", options, open_engine);
}

std::shared_ptr<const Model> Model::open_file(OnnxFile file, const std::string& name,
                                              const sidecall_model_options& options,
                                              OpenEngine open_engine) {
  Origin origin;
  origin.label = "file '" + name + "'";
  if (file.has_folder()) {
    const std::string base = name.substr(name.rfind('/') + 1);
    origin.title = base.substr(0, base.rfind('.'));
  }
  std::optional<ContractDocument> document;
  if (auto found = read_file_contract(file, origin.label)) {
    origin.id = std::move(found->id);
    document.emplace(std::move(found->text), origin.label);
  }
  ContractDocument* const contract = document ? &*document : nullptr;
  ChosenEngine engine = open_engine(file, name, options, contract);
  std::shared_ptr<Model> model(
      new Model(std::move(file), std::move(engine), origin, contract, options));
  model->verify_once(verify_mode(options.verify), origin);
  return model;
}

std::shared_ptr<const Model> Model::from_engine(std::unique_ptr<Engine> engine,
                                                const Origin& origin,
                                                const sidecall_model_options& options) {
  const int32_t mode = verify_mode(options.verify);
  std::optional<ContractDocument> document;
  if (origin.contract) document.emplace(*origin.contract, origin.label);
  std::shared_ptr<Model> model(new Model(std::nullopt, {std::move(engine), ""}, origin,
                                         document ? &*document : nullptr, options));
  model->is_verified_ = origin.is_verified;
  if (!origin.is_verified) model->verify_once(mode, origin);
  return model;
}

Model::Model(std::optional<OnnxFile> file, ChosenEngine engine, const Origin& origin,
             ContractDocument* contract, const sidecall_model_options& options)
    : title_(origin.title),
      file_(std::move(file)),
      engine_(std::move(engine)),
      engine_version_(engine_.engine->version()),
      ignores_extra_(options.extra == SIDECALL_EXTRA_IGNORE),
      timeout_ns_(options.timeout_ns) {
  read_contract(contract, origin.id);
}

void Model::read_contract(ContractDocument* document, const std::string& id) {
  engine_.engine->describe(&signature_.inputs, &signature_.outputs);
  signature_.index_tensors();
  if (document != nullptr) {
    contract_ =
        document->read(file_.has_value() || shows_refusals(signature_, *document), &signature_);
    if (!id.empty()) contract_.id = id;
    has_contract_ = true;
    if (signature_.has_refusals) engine_.engine->expect_refusals();
  } else {
    add_plain_columns(&signature_);
  }
  signature_.index_records();
}

void Model::verify_once(int32_t mode, const Origin& origin) {
  std::vector<Replica> replicas = engine_.engine->unverified_replicas();
  if (!replicas.empty()) return verify_replicas(std::move(replicas), mode, origin.deadline);
  if (!has_contract_ || mode == SIDECALL_VERIFY_OFF || contract_.golden.rows == 0) return;
  const std::string key = contract_.id + "|" + engine_version_;
  is_verified_ = file_ && per_process<Verified>().contains(key);
  if (is_verified_) return;
  const Verification result = run_golden_rows(*this, engine(), origin.deadline);
  is_verified_ = result.failure.empty();
  if (is_verified_) {
    if (file_) per_process<Verified>().add(key);
    return;
  }
  if (mode == SIDECALL_VERIFY_ERROR) throw Error(result.fault, result.failure);
  warning_ = result.failure;
}

// Every server that can be reached must pass, and at least one must be there.
void Model::verify_replicas(std::vector<Replica> replicas, int32_t mode,
                            std::optional<Clock::time_point> deadline) {
  const bool has_rows = has_contract_ && mode != SIDECALL_VERIFY_OFF && contract_.golden.rows != 0;
  std::exception_ptr unavailable;
  bool has_server = false;
  for (size_t i = 0; i < replicas.size(); ++i) {
    Verification result;
    try {
      // Each server gets only its share of the time, so a silent one leaves time for the others.
      std::optional<Clock::time_point> until = deadline;
      const auto num_left = static_cast<int64_t>(replicas.size() - i);
      if (until) *until -= (*until - Clock::now()) / num_left * (num_left - 1);
      if (has_rows) result = run_golden_rows(*this, *replicas[i].engine, until);
    } catch (const Error&) {  // it has ended, or has another model by now
      unavailable = std::current_exception();
      continue;
    }
    if (!result.failure.empty()) {
      if (mode == SIDECALL_VERIFY_ERROR) throw Error(result.fault, result.failure);
      if (warning_.empty()) warning_ = result.failure;
    }
    replicas[i].accept();
    has_server = true;
  }
  if (!has_server) std::rethrow_exception(unavailable);
  is_verified_ = has_rows && warning_.empty();
}

const std::string& Model::id() const {
  if (file_) {
    if (has_contract_) return contract_.id;
    Shared& shared = shared_.get();
    const std::lock_guard lock(shared.ids_mutex);
    if (shared.ids.empty()) shared.ids.insert(file_->compute_id());
    return *shared.ids.begin();
  }
  std::string current = engine_.engine->model_id();
  if (current.empty()) return contract_.id;
  Shared& shared = shared_.get();
  const std::lock_guard lock(shared.ids_mutex);
  return *shared.ids.insert(std::move(current)).first;
}

std::string Model::title() const {
  return has_contract_ && !contract_.name.empty() ? contract_.name : title_;
}

std::unique_ptr<Model::Workspace> Model::borrow_workspace() const {
  {
    Shared& shared = shared_.get();
    const std::lock_guard lock(shared.workspaces_mutex);
    if (!shared.workspaces.empty()) {
      std::unique_ptr<Workspace> workspace = std::move(shared.workspaces.back());
      shared.workspaces.pop_back();
      return workspace;
    }
  }
  // Lazy: only the run itself waits for another process, so that the deadline of the run covers all
  // waiting.
  // NOLINTNEXTLINE(modernize-make-unique): Workspace has no constructor, and cannot be moved.
  return std::unique_ptr<Workspace>(
      new Workspace{{signature_, engine(), ignores_extra_, 1, true}, {}});
}

void Model::return_workspace(std::unique_ptr<Workspace> workspace) const {
  // A large workspace is not kept, because it would occupy too much memory.
  if (workspace->call.rows() > kMaxKeptRows) return;
  Shared& shared = shared_.get();
  const std::lock_guard lock(shared.workspaces_mutex);
  if (shared.workspaces.size() < kMaxKeptWorkspaces)
    shared.workspaces.push_back(std::move(workspace));
}

bool Model::read_records(std::string_view json, RecordReader* reader, Call* call) const {
  if (!has_contract_)
    throw Error(
        SIDECALL_NO_CONTRACT,
        "records need a contract and the file carries none: export the model with sidecall.export");
  const int64_t rows = count_records(json);
  if (rows == 0)
    throw Error(kRecords, {SIDECALL_SHAPE_MISMATCH, -1, "", "at least 1 row", "0 rows"});
  call->resize(rows);
  call->clear();
  reader->read(json, call);
  const size_t first = json.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && json[first] == '[';
}

std::string Model::predict_json(std::string_view json, int64_t timeout_ns) const {
  const Clock::time_point end = deadline_after(timeout_ns);
  std::unique_ptr<Workspace> workspace = borrow_workspace();
  Call* call = &workspace->call;
  const bool is_list = read_records(json, &workspace->reader, call);
  if (timeout_ns > 0) {
    timeout_ns = std::chrono::nanoseconds(end - Clock::now()).count();
    if (timeout_ns <= 0) throw Error(SIDECALL_TIMEOUT, "the deadline passed before the run");
  }
  call->run(timeout_ns);
  std::string out;
  write_records(call, is_list, &out);
  return_workspace(std::move(workspace));
  return out;
}

}  // namespace sidecall
