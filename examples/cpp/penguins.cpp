// Which penguin is it? Opens an exported model and queries it from C++.
//   ./penguins-cpp penguins.onnx
#include <sidecall/sidecall.hpp>

#include <cstdio>

namespace {

// Reuses one call: columns are looked up once, then values are set and read by index.
void ask(const sidecall::Model& model) {
  const int32_t label = model.column("label"), gentoo = model.column("probabilities.Gentoo");
  sidecall::Call call(model, 2);
  for (int64_t row = 0; row < call.rows(); ++row) {
    call.set(row, model.feature("island"), row == 0 ? "Biscoe" : "Torgersen");
    call.set_missing(row, model.feature("sex"));
    call.set(row, model.feature("bill_length_mm"), row == 0 ? 46.1 : 39.1);
    call.set(row, model.feature("bill_depth_mm"), row == 0 ? 13.2 : 18.7);
    call.set(row, model.feature("flipper_length_mm"), row == 0 ? 211 : 181);
    call.set(row, model.feature("body_mass_g"), row == 0 ? 4500 : 3750);
    call.set(row, model.feature("year"), 2007);
  }
  call.run();
  for (int64_t row = 0; row < call.rows(); ++row) {
    const std::string_view species = call.get_str(row, label);
    std::printf("%.*s, Gentoo with %.4f\n", static_cast<int>(species.size()), species.data(),
                call.get_f64(row, gentoo));
  }
}

// An invalid record throws one exception, which lists every fault.
void ask_wrongly(const sidecall::Model& model) {
  try {
    model.predict_json(
        R"({"island": "Dream", "bill_length_mm": "long", "colour": "black", "year": 2009})");
  } catch (const sidecall::Error& error) {
    for (const sidecall_fault& fault : error.faults()) std::printf("refused: %s\n", fault.message);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s penguins.onnx\n", argv[0]);
    return 2;
  }
  try {
    const sidecall::Model model(argv[1]);
    std::printf("%s %s\n", std::string(model.name()).c_str(), std::string(model.version()).c_str());
    ask(model);
    std::printf(
        "%s\n",
        model
            .predict_json(
                R"({"island": "Dream", "bill_length_mm": 49.3, "bill_depth_mm": 19.9, "flipper_length_mm": 203,
                                               "body_mass_g": 4050, "sex": "male", "year": 2009})")
            .c_str());
    ask_wrongly(model);
  } catch (const sidecall::Error& error) {
    std::fprintf(stderr, "%s (%s)\n", error.what(), error.status_name());
    return 1;
  }
  return 0;
}
