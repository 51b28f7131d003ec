package io.fluss.client;

import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** User and password for SASL/PLAIN (RFC 4616). Immutable; never prints the password. */
public final class Credentials implements Serializable {
  private static final long serialVersionUID = 1L;

  public static final String MECHANISM = "PLAIN";

  private static final Pattern JAAS_OPTION =
      Pattern.compile("\\s(username|password)\\s*=\\s*(?:\"((?:[^\"\\\\]|\\\\.)*)\"|([^\\s\";]+))");

  private final String user;
  private final String password;

  /**
   * @throws IllegalArgumentException when one of the two is empty or holds the character that
   *     separates them on the wire
   */
  public Credentials(String user, String password) {
    if (user.isEmpty() || password.isEmpty()) {
      throw new IllegalArgumentException("credentials need a user and a password");
    }
    if (user.indexOf('\0') >= 0 || password.indexOf('\0') >= 0) {
      throw new IllegalArgumentException("user and password must not hold the character 0");
    }
    this.user = user;
    this.password = password;
  }

  /**
   * Reads the credentials of a client from JAAS text: {@code ...PlainLoginModule required
   * username="bob" password="secret";}.
   *
   * @throws IllegalArgumentException when user or password are missing; the text is not repeated
   */
  public static Credentials ofJaas(String text) {
    String user = "";
    String password = "";
    Matcher option = JAAS_OPTION.matcher(text);
    while (option.find()) {
      String value =
          option.group(2) == null ? option.group(3) : option.group(2).replaceAll("\\\\(.)", "$1");
      if (option.group(1).equals("username")) {
        user = value;
      } else {
        password = value;
      }
    }
    return new Credentials(user, password);
  }

  public String user() {
    return user;
  }

  /** What AUTHENTICATE carries: no authorization id, user, password. */
  public byte[] token() {
    return ('\0' + user + '\0' + password).getBytes(StandardCharsets.UTF_8);
  }

  @Override
  public String toString() {
    return user;
  }
}
