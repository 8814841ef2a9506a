// Distances between the rows of two matrices: CDist.
#include <cmath>
#include <string>
#include <utility>

#include "core/text.h"
#include "row_rules.h"
#include "tables.h"
#include "vector_panels.h"

namespace sidecall::native {
namespace {

// The distances between the rows of two matrices. ONNX Runtime computes them from products, which
// loses most digits of small distances. Here the differences are squared, as in the definition.
class CDist final : public Operator {
 public:
  explicit CDist(const Compile& compile) : node_(compile.node) {
    const std::string_view metric = node_.text("metric", "sqeuclidean");
    if (metric != "euclidean" && metric != "sqeuclidean")
      refuse_node(node_, SIDECALL_FILE_INVALID,
                  "metric: expected euclidean or sqeuclidean, got '" +
                      printable(std::string(metric)) + "'");
    is_squared_ = metric == "sqeuclidean";
    const Constant* b = compile.constant(1);
    if (b == nullptr || b->dims.size() != 2 || b->count == 0) return;
    pack(*b, &floats_);
    pack(*b, &doubles_);
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& a = required(node_, in, 0);
    const Tensor& b = required(node_, in, 1);
    require_same_types(node_, a, b);
    if (a.rank() != 2 || b.rank() != 2 || a.dims[1] != b.dims[1] || a.dims[1] == 0)
      refuse_node(node_, SIDECALL_ENGINE, "expected two matrices with rows of one length");
    out[0]->shape(a.dtype, {a.dims[0], b.dims[0]});
    if (a.dtype == SIDECALL_DTYPE_FLOAT64) return step(a, b, doubles_.get(), out[0]);
    if (a.dtype == SIDECALL_DTYPE_FLOAT32) return step(a, b, floats_.get(), out[0]);
    refuse_type(node_, a);
  }

 private:
  template <typename T>
  static void pack(const Constant& b, std::unique_ptr<VectorPanels<T>>* panels) {
    if (b.dtype != dtype_of<T>()) return;
    *panels = std::make_unique<VectorPanels<T>>(b.dims[0], b.dims[1]);
    (*panels)->pack(static_cast<const T*>(b.place.data));
  }

  template <typename T>
  std::unique_ptr<Step> step(const Tensor& a, const Tensor& b, const VectorPanels<T>* compiled,
                             const Tensor* out) const {
    std::unique_ptr<VectorPanels<T>> own;
    if (compiled == nullptr) own = std::make_unique<VectorPanels<T>>(b.dims[0], b.dims[1]);
    return make_step([&a, &b, compiled, out, own = std::move(own),
                      is_squared = is_squared_](const Interrupt& interrupt) {
      if (own) own->pack(b.as<T>());
      const VectorPanels<T>& panels = own ? *own : *compiled;
      const T* row = a.as<T>();
      T* to = out->as<T>();
      for (int64_t i = 0; i < a.dims[0]; ++i, row += panels.size(), to += panels.count()) {
        if (is_squared)
          panels.sum(row, interrupt, to, SquaredDifference(), [](T sum) { return sum; });
        else
          panels.sum(row, interrupt, to, SquaredDifference(), [](T sum) { return std::sqrt(sum); });
      }
    });
  }

  const Node& node_;
  bool is_squared_ = false;
  std::unique_ptr<VectorPanels<float>> floats_;
  std::unique_ptr<VectorPanels<double>> doubles_;
};

std::unique_ptr<Operator> make_cdist(const Compile& compile) {
  return std::make_unique<CDist>(compile);
}

}  // namespace

const std::vector<OperatorEntry>& distance_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"com.microsoft", "CDist", 1, kAnyVersion, make_cdist, rows::by_row},
  };
  return *all;
}

}  // namespace sidecall::native
