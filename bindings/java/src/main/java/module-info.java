/**
 * Calls machine-learning models that were trained in Python.
 *
 * <p>The module calls native code, which Java allows with the option
 * {@code --enable-native-access=dev.sidecall}, or {@code --enable-native-access=ALL-UNNAMED} if the
 * jar is on the class path.
 */
module dev.sidecall {
  exports dev.sidecall;
}
