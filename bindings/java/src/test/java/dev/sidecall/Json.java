package dev.sidecall;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Parses JSON for the tests: an object is a map that keeps the order of its members, and a number
 * is a {@link Number} that keeps its text.
 */
final class Json {
  /** A number by its text. */
  static final class Number {
    final String text;

    Number(String text) {
      this.text = text;
    }

    @Override
    public String toString() {
      return text;
    }

    double real() {
      return Double.parseDouble(text);
    }
  }

  private final String text;
  private int at;

  private Json(String text) {
    this.text = text;
  }

  static Object parse(String text) {
    Json json = new Json(text);
    Object value = json.value();
    json.skipSpace();
    if (json.at != text.length()) {
      throw json.wrong("the end");
    }
    return value;
  }

  private IllegalArgumentException wrong(String expected) {
    return new IllegalArgumentException("expected " + expected + " at " + at);
  }

  private void skipSpace() {
    while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
      ++at;
    }
  }

  private boolean take(char c) {
    skipSpace();
    if (at < text.length() && text.charAt(at) == c) {
      ++at;
      return true;
    }
    return false;
  }

  private void need(char c) {
    if (!take(c)) {
      throw wrong("'" + c + "'");
    }
  }

  private Object value() {
    skipSpace();
    switch (text.charAt(at)) {
      case '{':
        return object();
      case '[':
        return array();
      case '"':
        return string();
      case 't':
        return word("true", true);
      case 'f':
        return word("false", false);
      case 'n':
        return word("null", null);
      default:
        int begin = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
          ++at;
        }
        return new Number(text.substring(begin, at));
    }
  }

  private Object word(String word, Object value) {
    if (!text.startsWith(word, at)) {
      throw wrong(word);
    }
    at += word.length();
    return value;
  }

  private Map<String, Object> object() {
    Map<String, Object> members = new LinkedHashMap<>();
    need('{');
    if (!take('}')) {
      do {
        skipSpace();
        String name = string();
        need(':');
        members.put(name, value());
      } while (take(','));
      need('}');
    }
    return members;
  }

  private List<Object> array() {
    List<Object> elements = new ArrayList<>();
    need('[');
    if (!take(']')) {
      do {
        elements.add(value());
      } while (take(','));
      need(']');
    }
    return elements;
  }

  private String string() {
    need('"');
    StringBuilder out = new StringBuilder();
    while (text.charAt(at) != '"') {
      char c = text.charAt(at++);
      if (c != '\\') {
        out.append(c);
        continue;
      }
      char escaped = text.charAt(at++);
      if (escaped == 'u') {
        out.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
        at += 4;
      } else {
        int known = "bfnrt".indexOf(escaped);
        out.append(known < 0 ? escaped : "\b\f\n\r\t".charAt(known));
      }
    }
    ++at;
    return out.toString();
  }
}
