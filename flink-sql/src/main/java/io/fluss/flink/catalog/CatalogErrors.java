package io.fluss.flink.catalog;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import java.util.List;
import org.apache.flink.table.catalog.CatalogPartitionSpec;
import org.apache.flink.table.catalog.ObjectPath;
import org.apache.flink.table.catalog.exceptions.CatalogException;
import org.apache.flink.table.catalog.exceptions.DatabaseAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotEmptyException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotExistException;
import org.apache.flink.table.catalog.exceptions.PartitionAlreadyExistsException;
import org.apache.flink.table.catalog.exceptions.PartitionSpecInvalidException;
import org.apache.flink.table.catalog.exceptions.TableAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.TableNotExistException;
import org.apache.flink.table.catalog.exceptions.TableNotPartitionedException;

/**
 * Converts errors of the client to the exceptions Flink expects of a catalog. Each method throws
 * the exception that belongs to an error code and returns the one for all other codes.
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

  CatalogException partitions(String verb, ObjectPath path, FlussException e)
      throws TableNotExistException, TableNotPartitionedException {
    if (e.code() == ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION) {
      throw new TableNotPartitionedException(catalog, path, e);
    }
    if (e.code() == ErrorCode.TABLE_NOT_EXIST || e.code() == ErrorCode.DATABASE_NOT_EXIST) {
      throw new TableNotExistException(catalog, path, e);
    }
    return other(verb + " table " + path, e);
  }

  CatalogException createPartition(
      ObjectPath path, List<String> partitionKeys, CatalogPartitionSpec spec, FlussException e)
      throws TableNotExistException,
          TableNotPartitionedException,
          PartitionSpecInvalidException,
          PartitionAlreadyExistsException {
    if (e.code() == ErrorCode.PARTITION_SPEC_INVALID_EXCEPTION) {
      throw new PartitionSpecInvalidException(catalog, partitionKeys, path, spec, e);
    }
    if (e.code() == ErrorCode.PARTITION_ALREADY_EXISTS) {
      throw new PartitionAlreadyExistsException(catalog, path, spec, e);
    }
    return partitions("create partition " + spec.getPartitionSpec() + " of", path, e);
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
