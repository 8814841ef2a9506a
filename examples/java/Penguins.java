import dev.sidecall.Fault;
import dev.sidecall.Model;
import dev.sidecall.Name;
import dev.sidecall.Sidecall;
import dev.sidecall.SidecallException;
import java.util.Locale;

/**
 * Asks a model about one penguin, and shows how a bad record is refused.
 *
 * <p>java --enable-native-access=ALL-UNNAMED -cp sidecall.jar Penguins.java [MODEL]
 *
 * <p>MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default.
 */
public final class Penguins {
  record Penguin(
      String island,
      String sex, // null: it is not known
      @Name("bill_length_mm") double billLength,
      @Name("bill_depth_mm") double billDepth,
      @Name("flipper_length_mm") double flipperLength,
      @Name("body_mass_g") double bodyMass) {}

  record Species(String label, @Name("probabilities.Gentoo") double gentoo) {}

  private static void ask(Model model) {
    // A program that asks often keeps this predictor. Any number of threads may use it at once.
    var species = model.newPredictor(Penguin.class, Species.class);
    var answer = species.predict(new Penguin("Biscoe", null, 48.2, 14.3, 215, 4900));
    System.out.println("label: " + answer.label());
    System.out.printf(Locale.ROOT, "probabilities.Gentoo: %.4f%n", answer.gentoo());
  }

  /** predictJson takes a record as one text. If it is refused, the error lists all faults. */
  private static void askBadly(Model model) {
    String record =
        """
        {"island": "Biscoe", "bill_length_mm": "long", "body_mass_g": "heavy"}""";
    try {
      model.predictJson(record);
    } catch (SidecallException e) {
      if (e.faults().isEmpty()) {
        throw e; // the run itself has failed
      }
      for (Fault fault : e.faults()) {
        System.out.println("refused: " + fault.message());
      }
    }
  }

  public static void main(String[] arguments) {
    try (Model model = Sidecall.open(arguments.length > 0 ? arguments[0] : "penguins.onnx")) {
      ask(model);
      askBadly(model);
    } catch (SidecallException e) {
      System.err.println(e.getMessage() + " (" + e.code() + ")");
      System.exit(1);
    }
  }
}
