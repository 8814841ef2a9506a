package dev.sidecall;

/**
 * Says what is wrong with one value, or with one row that the model refuses.
 *
 * @param code the kind of fault
 * @param row the row, from 0; -1 if it concerns no particular row
 * @param name the feature, input, column or step of the model; "" for none
 * @param expected what was expected there
 * @param got what was found in its place; never a value of the data
 * @param message a line such as "feature 'age': expected float32, got string"
 */
public record Fault(
    Code code, long row, String name, String expected, String got, String message) {}
