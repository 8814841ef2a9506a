// m2cgen's C code of the LightGBM twin, compiled to a shared library: `score` takes one row.
#include <dlfcn.h>

#include <stdexcept>

#include "transport.h"

namespace bench {
namespace {

using Score = void (*)(double* row, double* answer);

class GeneratedCaller : public Caller {
 public:
  GeneratedCaller(const Workload& workload, int64_t rows, Score score)
      : workload_(workload),
        rows_(rows),
        score_(score),
        row_(static_cast<size_t>(workload.row_values)) {}

  void call(int64_t first_row, Answer& answer) override {
    const float* values = workload_.row(first_row);
    for (int64_t i = 0; i < rows_; ++i, values += row_.size()) {
      for (size_t k = 0; k < row_.size(); ++k) row_[k] = static_cast<double>(values[k]);
      double scores[2];
      score_(row_.data(), scores);
      answer.numbers.push_back(static_cast<float>(scores[0]));
      answer.numbers.push_back(static_cast<float>(scores[1]));
    }
  }

 private:
  const Workload& workload_;
  int64_t rows_;
  Score score_;
  std::vector<double> row_;
};

class GeneratedApproach : public Approach {
 public:
  explicit GeneratedApproach(const Opening& opening)
      : workload_(opening.workload), rows_(opening.rows) {
    if (workload_.is_record || workload_.num_numbers != 2)
      throw std::runtime_error("generated: expected a tensor and two classes");
    const std::string path = opening.text("twin") + ".so";
    library_.reset(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL));
    if (library_ == nullptr) throw std::runtime_error(std::string("generated: ") + dlerror());
    score_ = reinterpret_cast<Score>(dlsym(library_.get(), "score"));
    if (score_ == nullptr) throw std::runtime_error(path + ": expected a function 'score'");
  }

  std::unique_ptr<Caller> connect() override {
    return std::make_unique<GeneratedCaller>(workload_, rows_, score_);
  }
  const char* expected() const override { return "twin.f64"; }

 private:
  struct Closer {
    void operator()(void* library) const { dlclose(library); }
  };

  const Workload& workload_;
  int64_t rows_;
  std::unique_ptr<void, Closer> library_;
  Score score_ = nullptr;
};

const RegisterApproach kGenerated("generated",
                                  [](const Opening& opening) -> std::unique_ptr<Approach> {
                                    return std::make_unique<GeneratedApproach>(opening);
                                  });

}  // namespace
}  // namespace bench
