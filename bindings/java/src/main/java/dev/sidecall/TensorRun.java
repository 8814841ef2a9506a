package dev.sidecall;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** The inputs of a run on whole tensors. */
final class TensorRun {
  private record Input(int index, Tensor tensor) {}

  private final List<Input> inputs = new ArrayList<>();

  /** Looks the names up, in the order of the graph: the first wrong input decides the error. */
  TensorRun(Model model, Map<String, Tensor> tensors) {
    Objects.requireNonNull(tensors, "inputs");
    List<TensorSpec> specs = model.inputs();
    for (int i = 0; i < specs.size(); ++i) {
      Tensor tensor = tensors.get(specs.get(i).name());
      if (tensor != null) {
        inputs.add(new Input(i, tensor));
      }
    }
    if (inputs.size() < tensors.size()) {
      tensors.keySet().forEach(model::input);
      throw SidecallException.refuse(
          Code.INVALID_ARGUMENT, "inputs: expected a tensor for each name, got null");
    }
  }

  void set(Workspace w) {
    w.needEmptyCall(1);
    for (Input input : inputs) {
      w.check(Native.copyInput(w.call, input.index, input.tensor.toView(w), w.error));
    }
  }

  Map<String, Tensor> get(Workspace w) {
    Map<String, Tensor> outputs = new LinkedHashMap<>();
    for (int i = 0; i < w.core.outputs.size(); ++i) {
      outputs.put(w.core.outputs.get(i).name(), View.output(w, i).toTensor());
    }
    return outputs;
  }
}
