package dev.sidecall;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * Names the feature or column of a component of a record, if the component has another name.
 *
 * <pre>{@code
 * record Verdict(String label, @Name("probabilities.fraud") double fraud) {}
 * }</pre>
 */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Name {
  /**
   * The name in the model.
   *
   * @return the name of a feature, a column or an output
   */
  String value();
}
