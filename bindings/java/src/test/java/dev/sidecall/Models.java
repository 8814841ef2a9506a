package dev.sidecall;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.function.Executable;

/** The models of the tests of all languages, and records for them. */
final class Models {
  static final String FOLDER =
      Path.of(System.getProperty("sidecall.vectors", "../../tests/vectors"), "models")
          .toAbsolutePath()
          .normalize()
          .toString();

  record Penguin(
      @Name("bill_length_mm") double billLength,
      @Name("bill_depth_mm") Double billDepth,
      @Name("flipper_length_mm") float flipperLength,
      @Name("body_mass_g") Double bodyMass,
      String island,
      String sex) {}

  record Species(
      String label,
      @Name("probabilities.Adelie") double adelie,
      Map<String, Double> probabilities) {}

  static final Penguin ADELIE = new Penguin(39.1, 18.7, 181, null, "Torgersen", "male");

  private Models() {}

  static String path(String name) {
    return FOLDER + "/" + name;
  }

  /** Opens a model on the native engine, which needs no ONNX Runtime. */
  static Model open(String name) {
    return Sidecall.open(path(name), Options.DEFAULTS.withEngine(Options.Engine.NATIVE));
  }

  static SidecallException assertRefused(Code code, String text, Executable executable) {
    SidecallException e = assertThrows(SidecallException.class, executable);
    assertEquals(code, e.code(), e.getMessage());
    assertTrue(e.getMessage().contains(text), e.getMessage());
    return e;
  }

  static SidecallException assertRefused(Code code, Executable executable) {
    return assertRefused(code, "", executable);
  }
}
