package io.fluss.client;

import org.apache.flink.types.RowKind;

/** What a log record says about its row; the ordinal is the number stored in log batches. */
public enum ChangeType {
  APPEND("+A", RowKind.INSERT),
  INSERT("+I", RowKind.INSERT),
  UPDATE_BEFORE("-U", RowKind.UPDATE_BEFORE),
  UPDATE_AFTER("+U", RowKind.UPDATE_AFTER),
  DELETE("-D", RowKind.DELETE);

  private static final ChangeType[] BY_CODE = values();

  private final String shortName;
  private final RowKind rowKind;

  ChangeType(String shortName, RowKind rowKind) {
    this.shortName = shortName;
    this.rowKind = rowKind;
  }

  public String shortName() {
    return shortName;
  }

  public RowKind rowKind() {
    return rowKind;
  }

  public byte code() {
    return (byte) ordinal();
  }

  /** The change type of a stored number. */
  public static ChangeType ofCode(byte code) {
    if (code < 0 || code >= BY_CODE.length) {
      throw new FlussException(
          ErrorCode.CORRUPT_RECORD_EXCEPTION, "unknown change type " + code + " in a log batch");
    }
    return BY_CODE[code];
  }
}
