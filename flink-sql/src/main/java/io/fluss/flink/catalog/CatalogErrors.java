package io.fluss.flink.catalog;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import org.apache.flink.table.catalog.ObjectPath;
import org.apache.flink.table.catalog.exceptions.CatalogException;
import org.apache.flink.table.catalog.exceptions.DatabaseAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotEmptyException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotExistException;
import org.apache.flink.table.catalog.exceptions.TableAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.TableNotExistException;

/**
 * Turns errors of the client into the exceptions Flink expects of a catalog. Each method throws the
 * exception that belongs to an error code and returns the one for all other codes.
 */
final class CatalogErrors {

  private final String catalog;

  CatalogErrors(String catalog) {
    this.catalog = catalog;
  }

  CatalogException database(String verb, String database, FlussException e)
      throws DatabaseNotExistException {
    if (e.code() == ErrorCode.DATABASE_NOT_EXIST) {
      throw new DatabaseNotExistException(catalog, database, e);
    }
    return other(verb + " database '" + database + "'", e);
  }

  CatalogException createDatabase(String database, FlussException e)
      throws DatabaseAlreadyExistException {
    if (e.code() == ErrorCode.DATABASE_ALREADY_EXIST) {
      throw new DatabaseAlreadyExistException(catalog, database, e);
    }
    return other("create database '" + database + "'", e);
  }

  CatalogException dropDatabase(String database, FlussException e)
      throws DatabaseNotExistException, DatabaseNotEmptyException {
    if (e.code() == ErrorCode.DATABASE_NOT_EMPTY) {
      throw new DatabaseNotEmptyException(catalog, database, e);
    }
    return database("drop", database, e);
  }

  CatalogException table(String verb, ObjectPath path, FlussException e)
      throws TableNotExistException {
    if (e.code() == ErrorCode.TABLE_NOT_EXIST || e.code() == ErrorCode.DATABASE_NOT_EXIST) {
      throw new TableNotExistException(catalog, path, e);
    }
    return other(verb + " table " + path, e);
  }

  CatalogException createTable(ObjectPath path, FlussException e)
      throws TableAlreadyExistException, DatabaseNotExistException {
    if (e.code() == ErrorCode.TABLE_ALREADY_EXIST) {
      throw new TableAlreadyExistException(catalog, path, e);
    }
    if (e.code() == ErrorCode.DATABASE_NOT_EXIST) {
      throw new DatabaseNotExistException(catalog, path.getDatabaseName(), e);
    }
    return other("create table " + path, e);
  }

  CatalogException other(String what, FlussException e) {
    return new CatalogException(
        String.format("Failed to %s in catalog '%s': %s", what, catalog, e.getMessage()), e);
  }
}
