package io.fluss.flink.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import org.apache.flink.table.catalog.ObjectPath;
import org.apache.flink.table.catalog.exceptions.CatalogException;
import org.apache.flink.table.catalog.exceptions.DatabaseAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotEmptyException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotExistException;
import org.apache.flink.table.catalog.exceptions.TableAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.TableNotExistException;
import org.junit.jupiter.api.Test;

class CatalogErrorsTest {

  private static final ObjectPath PATH = new ObjectPath("db", "t");

  private final CatalogErrors errors = new CatalogErrors("c");

  private static FlussException error(ErrorCode code) {
    return new FlussException(code, "because");
  }

  @Test
  void knownCodesBecomeFlinksExceptions() {
    assertThrows(
        DatabaseNotExistException.class,
        () -> errors.database("get", "db", error(ErrorCode.DATABASE_NOT_EXIST)));
    assertThrows(
        DatabaseAlreadyExistException.class,
        () -> errors.createDatabase("db", error(ErrorCode.DATABASE_ALREADY_EXIST)));
    assertThrows(
        DatabaseNotEmptyException.class,
        () -> errors.dropDatabase("db", error(ErrorCode.DATABASE_NOT_EMPTY)));
    assertThrows(
        DatabaseNotExistException.class,
        () -> errors.dropDatabase("db", error(ErrorCode.DATABASE_NOT_EXIST)));
    assertThrows(
        TableNotExistException.class,
        () -> errors.table("get", PATH, error(ErrorCode.TABLE_NOT_EXIST)));
    assertThrows(
        TableAlreadyExistException.class,
        () -> errors.createTable(PATH, error(ErrorCode.TABLE_ALREADY_EXIST)));
    assertThrows(
        DatabaseNotExistException.class,
        () -> errors.createTable(PATH, error(ErrorCode.DATABASE_NOT_EXIST)));
  }

  @Test
  void otherCodesKeepTheirMessage() throws Exception {
    CatalogException e = errors.table("drop", PATH, error(ErrorCode.REQUEST_TIME_OUT));

    assertEquals(
        "Failed to drop table db.t in catalog 'c': REQUEST_TIME_OUT: because", e.getMessage());
  }
}
