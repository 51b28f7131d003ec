package io.fluss.client.row;

import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/** What matters of a type for the binary formats. */
public enum FieldKind {
  BOOLEAN(1),
  TINYINT(1),
  SMALLINT(2),
  /** INT, DATE and TIME. */
  INT(4),
  BIGINT(8),
  FLOAT(4),
  DOUBLE(8),
  CHAR(8),
  STRING(8),
  BINARY(8),
  BYTES(8),
  /** Precision up to 18: an unscaled long. */
  COMPACT_DECIMAL(8),
  WIDE_DECIMAL(8),
  /** Precision up to 3: milliseconds. */
  COMPACT_TIMESTAMP(8),
  TIMESTAMP(8),
  ARRAY(8),
  MAP(8),
  ROW(8);

  private final int slotWidth;

  FieldKind(int slotWidth) {
    this.slotWidth = slotWidth;
  }

  /** Bytes of a slot in an array image. */
  int slotWidth() {
    return slotWidth;
  }

  public static FieldKind of(LogicalType type) {
    switch (type.getTypeRoot()) {
      case BOOLEAN:
        return BOOLEAN;
      case TINYINT:
        return TINYINT;
      case SMALLINT:
        return SMALLINT;
      case INTEGER:
      case DATE:
      case TIME_WITHOUT_TIME_ZONE:
        return INT;
      case BIGINT:
        return BIGINT;
      case FLOAT:
        return FLOAT;
      case DOUBLE:
        return DOUBLE;
      case CHAR:
        return CHAR;
      case VARCHAR:
        return STRING;
      case BINARY:
        return BINARY;
      case VARBINARY:
        return BYTES;
      case DECIMAL:
        return ((DecimalType) type).getPrecision() <= 18 ? COMPACT_DECIMAL : WIDE_DECIMAL;
      case TIMESTAMP_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        return LogicalTypeChecks.getPrecision(type) <= 3 ? COMPACT_TIMESTAMP : TIMESTAMP;
      case ARRAY:
        return ARRAY;
      case MAP:
        return MAP;
      case ROW:
        return ROW;
      default:
        throw new IllegalArgumentException("no binary form of " + type.asSummaryString());
    }
  }
}
