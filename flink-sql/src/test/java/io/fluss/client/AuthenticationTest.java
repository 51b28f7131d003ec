package io.fluss.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** SASL/PLAIN: options, what is sent, what a refusal looks like. */
@Timeout(20)
class AuthenticationTest {
  private static final TableDescriptor TABLE =
      TableDescriptor.builder()
          .rowType(new RowType(false, List.of(new RowType.RowField("id", new IntType(false)))))
          .bucketCount(1)
          .build();

  private static ClientOptions options(String servers, String... more) {
    Map<String, String> options = new HashMap<>();
    options.put("bootstrap.servers", servers);
    for (int i = 0; i < more.length; i += 2) {
      options.put("client.security." + more[i], more[i + 1]);
    }
    return ClientOptions.fromMap(options);
  }

  private static ClientOptions asBob(String servers) {
    return options(
        servers, "protocol", "sasl", "sasl.username", "bob", "sasl.password", "bob-geheim");
  }

  @Test
  void optionsHoldCredentials() {
    assertNull(options("h:1").credentials());
    assertNull(options("h:1", "protocol", "PLAINTEXT", "sasl.username", "bob").credentials());
    Credentials bob = asBob("h:1").credentials();
    assertNotNull(bob);
    assertArrayEquals("\0bob\0bob-geheim".getBytes(StandardCharsets.UTF_8), bob.token());
    assertEquals("bob", bob.toString());
  }

  @Test
  void jaasTextHoldsCredentials() {
    String module = "org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required ";
    Credentials credentials =
        options(
                "h:1",
                "protocol",
                "SASL",
                "sasl.jaas.config",
                module + "username=\"bob\" password=\"ge\\\"h;eim ü\";")
            .credentials();
    assertEquals("bob", credentials.user());
    assertArrayEquals("\0bob\0ge\"h;eim ü".getBytes(StandardCharsets.UTF_8), credentials.token());
  }

  @ParameterizedTest
  @ValueSource(strings = {"sasl.username", "sasl.password", "sasl.jaas.config", "sasl.mechanism"})
  void halfOfTheCredentialsIsRefusedAndNotRepeated(String key) {
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                options("h:1", "protocol", "SASL", key, key.endsWith("ism") ? "SCRAM" : "geheim"));
    assertTrue(error.getMessage().contains("client.security.sasl."), error.getMessage());
    assertFalse(error.getMessage().contains("geheim"), error.getMessage());
  }

  @Test
  void authenticationComesBeforeEverythingElse() throws IOException {
    try (FakeServer server = new FakeServer(TABLE)) {
      List<ApiKey> order = new ArrayList<>();
      server.faults =
          (key, request) -> {
            synchronized (order) {
              order.add(key);
            }
            return null;
          };
      try (FlussClient client = FlussClient.connect(asBob(server.address()))) {
        client.getTable(server.table.path());
      }
      assertEquals(
          List.of(ApiKey.API_VERSIONS, ApiKey.AUTHENTICATE, ApiKey.GET_METADATA),
          order.subList(0, 3));
      assertEquals(List.of("\0bob\0bob-geheim"), server.tokens);
    }
  }

  @Test
  void aRefusedAuthenticationIsNotRepeated() throws IOException {
    try (FakeServer server = new FakeServer(TABLE)) {
      server.faults =
          (key, request) ->
              key == ApiKey.AUTHENTICATE
                  ? FakeServer.error(ErrorCode.AUTHENTICATE_EXCEPTION)
                  : null;
      FlussException error =
          assertThrows(
              FlussException.class, () -> FlussClient.connect(asBob(server.address())).close());
      assertEquals(ErrorCode.AUTHENTICATE_EXCEPTION, error.code());
      assertTrue(error.getMessage().contains("refuses the credentials of bob"), error.getMessage());
      assertFalse(error.getMessage().contains("geheim"), error.getMessage());
      assertEquals(1, server.count(ApiKey.AUTHENTICATE));
    }
  }

  @Test
  void anAuthenticationThatMayBeRepeatedIsRepeated() throws IOException {
    try (FakeServer server = new FakeServer(TABLE)) {
      server.faults =
          (key, request) ->
              key == ApiKey.AUTHENTICATE && request < 2
                  ? FakeServer.error(ErrorCode.RETRIABLE_AUTHENTICATE_EXCEPTION)
                  : null;
      FlussClient.connect(asBob(server.address())).close();
      assertEquals(3, server.count(ApiKey.AUTHENTICATE));
    }
  }
}
