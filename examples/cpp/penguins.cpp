// Asks a model about one penguin, and shows how a bad record is refused.   ./penguins [MODEL]
// MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default.
#include <cstdio>
#include <sidecall/sidecall.hpp>

namespace {

void ask(const sidecall::Model& model) {
  // A program that asks often keeps the call and these indices.
  sidecall::Call call(model);
  call.set(0, model.feature("island"), "Biscoe");
  call.set_missing(0, model.feature("sex"));
  call.set(0, model.feature("bill_length_mm"), 48.2);
  call.set(0, model.feature("bill_depth_mm"), 14.3);
  call.set(0, model.feature("flipper_length_mm"), 215);
  call.set(0, model.feature("body_mass_g"), 4900);
  call.run();
  const std::string species(call.get_str(0, model.column("label")));
  const double probability = call.get_f64(0, model.column("probabilities.Gentoo"));
  std::printf("label: %s\nprobabilities.Gentoo: %.4f\n", species.c_str(), probability);
}

// predict_json takes a record as one text. If the record is refused, the exception lists all
// faults.
void ask_badly(const sidecall::Model& model) {
  try {
    model.predict_json(R"({"island": "Biscoe", "bill_length_mm": "long", "body_mass_g": "heavy"})");
  } catch (const sidecall::Error& error) {
    if (error.faults().empty()) throw;  // the run itself has failed
    for (const sidecall_fault& fault : error.faults()) std::printf("refused: %s\n", fault.message);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const sidecall::Model model(argc > 1 ? argv[1] : "penguins.onnx");
    ask(model);
    ask_badly(model);
  } catch (const sidecall::Error& error) {
    std::fprintf(stderr, "%s (%s)\n", error.what(), error.status_name());
    return 1;
  }
  return 0;
}
