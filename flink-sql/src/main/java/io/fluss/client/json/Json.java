package io.fluss.client.json;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The small part of JSON that metadata documents need. Values are {@code Map<String, Object>} (in
 * document order), {@code List<Object>}, {@code String}, {@code Long} for integers, {@code Double}
 * for other numbers, {@code Boolean} and null. Reading refuses anything malformed with {@link
 * IllegalArgumentException}; nesting is limited to {@value #MAX_DEPTH} levels.
 */
public final class Json {
  static final int MAX_DEPTH = 200;

  private final String text;
  private int position;

  private Json(String text) {
    this.text = text;
  }

  public static Object parse(byte[] utf8) {
    return parse(new String(utf8, StandardCharsets.UTF_8));
  }

  public static Object parse(String text) {
    Json json = new Json(text);
    Object value = json.value(0);
    json.skipSpace();
    if (json.position != text.length()) {
      throw json.error("text after the document");
    }
    return value;
  }

  /** Compact text of a value, without spaces. */
  public static String write(Object value) {
    StringBuilder out = new StringBuilder();
    write(value, out);
    return out.toString();
  }

  private static void write(Object value, StringBuilder out) {
    if (value instanceof Map) {
      char separator = '{';
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        out.append(separator);
        separator = ',';
        writeString((String) entry.getKey(), out);
        out.append(':');
        write(entry.getValue(), out);
      }
      out.append(separator == '{' ? "{}" : "}");
    } else if (value instanceof List) {
      char separator = '[';
      for (Object item : (List<?>) value) {
        out.append(separator);
        separator = ',';
        write(item, out);
      }
      out.append(separator == '[' ? "[]" : "]");
    } else if (value instanceof String) {
      writeString((String) value, out);
    } else if (value == null || value instanceof Number || value instanceof Boolean) {
      out.append(value);
    } else {
      throw new IllegalArgumentException("no JSON form of " + value.getClass());
    }
  }

  private static void writeString(String value, StringBuilder out) {
    out.append('"');
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      if (c == '"' || c == '\\') {
        out.append('\\').append(c);
      } else if (c == '\n') {
        out.append("\\n");
      } else if (c == '\r') {
        out.append("\\r");
      } else if (c == '\t') {
        out.append("\\t");
      } else if (c < 0x20) {
        out.append(String.format("\\u%04X", (int) c));
      } else {
        out.append(c);
      }
    }
    out.append('"');
  }

  private Object value(int depth) {
    if (depth > MAX_DEPTH) {
      throw error("nested too deeply");
    }
    skipSpace();
    char c = peek();
    switch (c) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return string();
      case 't':
        return literal("true", Boolean.TRUE);
      case 'f':
        return literal("false", Boolean.FALSE);
      case 'n':
        return literal("null", null);
      default:
        return number();
    }
  }

  private Map<String, Object> object(int depth) {
    Map<String, Object> result = new LinkedHashMap<>();
    position++;
    skipSpace();
    if (peek() == '}') {
      position++;
      return result;
    }
    while (true) {
      skipSpace();
      if (peek() != '"') {
        throw error("a member name is expected");
      }
      String name = string();
      skipSpace();
      expect(':');
      result.put(name, value(depth + 1));
      skipSpace();
      if (peek() == '}') {
        position++;
        return result;
      }
      expect(',');
    }
  }

  private List<Object> array(int depth) {
    List<Object> result = new ArrayList<>();
    position++;
    skipSpace();
    if (peek() == ']') {
      position++;
      return result;
    }
    while (true) {
      result.add(value(depth + 1));
      skipSpace();
      if (peek() == ']') {
        position++;
        return result;
      }
      expect(',');
    }
  }

  private String string() {
    StringBuilder out = new StringBuilder();
    position++;
    while (true) {
      char c = peek();
      position++;
      if (c == '"') {
        return out.toString();
      }
      if (c != '\\') {
        out.append(c);
        continue;
      }
      char escaped = peek();
      position++;
      switch (escaped) {
        case 'n':
          out.append('\n');
          break;
        case 'r':
          out.append('\r');
          break;
        case 't':
          out.append('\t');
          break;
        case 'b':
          out.append('\b');
          break;
        case 'f':
          out.append('\f');
          break;
        case '"':
        case '\\':
        case '/':
          out.append(escaped);
          break;
        case 'u':
          out.append(unicode());
          break;
        default:
          throw error("unknown escape \\" + escaped);
      }
    }
  }

  private char unicode() {
    if (position + 4 > text.length()) {
      throw error("unexpected end");
    }
    int code = 0;
    for (int i = 0; i < 4; i++) {
      int digit = Character.digit(text.charAt(position++), 16);
      if (digit < 0) {
        throw error("bad \\u escape");
      }
      code = code * 16 + digit;
    }
    return (char) code;
  }

  private Object literal(String word, Object value) {
    if (!text.startsWith(word, position)) {
      throw error("a value is expected");
    }
    position += word.length();
    return value;
  }

  private Number number() {
    int start = position;
    boolean integer = true;
    while (position < text.length()) {
      char c = text.charAt(position);
      if (c == '.' || c == 'e' || c == 'E') {
        integer = false;
      } else if (!(c >= '0' && c <= '9') && c != '-' && c != '+') {
        break;
      }
      position++;
    }
    String digits = text.substring(start, position);
    try {
      return integer ? (Number) Long.valueOf(digits) : (Number) Double.valueOf(digits);
    } catch (NumberFormatException e) {
      position = start;
      throw error("a value is expected");
    }
  }

  private void skipSpace() {
    while (position < text.length() && " \t\r\n".indexOf(text.charAt(position)) >= 0) {
      position++;
    }
  }

  private char peek() {
    if (position >= text.length()) {
      throw error("unexpected end");
    }
    return text.charAt(position);
  }

  private void expect(char c) {
    if (peek() != c) {
      throw error("'" + c + "' is expected");
    }
    position++;
  }

  private IllegalArgumentException error(String message) {
    return new IllegalArgumentException("bad JSON at character " + position + ": " + message);
  }
}
