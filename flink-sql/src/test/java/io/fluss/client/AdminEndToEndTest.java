package io.fluss.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

/** Databases and tables, and what is said of servers and tables that are not there. */
@EnabledIfSystemProperty(named = "fluss.bootstrap", matches = ".+")
@Timeout(60)
class AdminEndToEndTest extends EndToEnd {
  @Test
  void databasesAndTables() {
    String name = DATABASE + "_x";
    assertFalse(client.databaseExists(name));
    client.createDatabase(name, new DatabaseDescriptor("hello", Map.of("a", "b")), false);
    assertTrue(client.databaseExists(name));
    assertTrue(client.listDatabases().contains(name));
    DatabaseInfo info = client.getDatabase(name);
    assertEquals("hello", info.descriptor().comment().get());
    assertEquals(Map.of("a", "b"), info.descriptor().customProperties());
    assertTrue(info.createdTime() > 1_600_000_000_000L);
    assertEquals(
        ErrorCode.DATABASE_ALREADY_EXIST,
        assertThrows(
                FlussException.class,
                () -> client.createDatabase(name, DatabaseDescriptor.EMPTY, false))
            .code());

    TablePath path = TablePath.of(name, "t");
    RowType type = EveryType.TYPE;
    TableDescriptor descriptor =
        TableDescriptor.builder()
            .rowType(type)
            .columnComments(Map.of("id", "the id"))
            .bucketCount(3)
            .bucketKey(List.of("id"))
            .comment("all of them")
            .customProperty("my.option", "1")
            .build();
    assertEquals(
        ErrorCode.TABLE_NOT_EXIST,
        assertThrows(FlussException.class, () -> client.getTable(path)).code());
    client.createTable(path, descriptor, false);
    client.createTable(path, descriptor, true);
    assertTrue(client.tableExists(path));
    assertEquals(List.of("t"), client.listTables(name));
    TableInfo table = client.getTable(path);
    assertEquals(type, table.rowType());
    assertEquals(3, table.bucketCount());
    assertEquals(List.of("id"), table.bucketKey());
    assertEquals("all of them", table.comment().get());
    assertEquals(Map.of("id", "the id"), table.columnComments());
    assertEquals("1", table.customProperties().get("my.option"));
    assertFalse(table.hasPrimaryKey());
    assertEquals(
        ErrorCode.DATABASE_NOT_EMPTY,
        assertThrows(FlussException.class, () -> client.dropDatabase(name, false, false)).code());
    client.dropTable(path, false);
    assertFalse(client.tableExists(path));
    client.dropTable(path, true);
    client.dropDatabase(name, false, true);
    assertFalse(client.databaseExists(name));
  }

  @Test
  void aDroppedTableIsReported() throws Exception {
    TableInfo table =
        create("gone", TableDescriptor.builder().rowType(row("id", new IntType())).build());
    try (AppendWriter writer = client.newAppendWriter(table);
        LogScanner scanner = client.newLogScanner(table, null)) {
      writer.append(GenericRowData.of(1));
      writer.flush();
      scanner.subscribe(0, 0);
      assertEquals(1, scanner.poll(Duration.ofSeconds(10)).count());
      client.dropTable(table.path(), false);
      java.io.IOException writeError =
          assertThrows(
              java.io.IOException.class,
              () -> {
                // Official servers drop in the background and take a few rows more.
                for (int i = 0; i < 1_000_000; i++) {
                  writer.append(GenericRowData.of(2));
                  writer.flush();
                }
              });
      assertEquals(ErrorCode.TABLE_NOT_EXIST, ((FlussException) writeError.getCause()).code());
      FlussException readError =
          assertThrows(
              FlussException.class,
              () -> {
                for (int i = 0; i < 30; i++) {
                  scanner.poll(Duration.ofSeconds(1));
                }
              });
      assertEquals(ErrorCode.TABLE_NOT_EXIST, readError.code());
    }
  }

  @Test
  void connectFailsSoonWithoutAServer() {
    long start = System.nanoTime();
    FlussException error =
        assertThrows(
            FlussException.class,
            () ->
                FlussClient.connect(
                    ClientOptions.fromMap(
                        Map.of(
                            "bootstrap.servers", "127.0.0.1:1", "client.connect-timeout", "1s"))));
    assertTrue(error.getMessage().contains("127.0.0.1:1"), error.getMessage());
    assertTrue(System.nanoTime() - start < 10_000_000_000L);
  }
}
