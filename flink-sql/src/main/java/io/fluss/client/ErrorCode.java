package io.fluss.client;

import java.util.HashMap;
import java.util.Map;

/**
 * Error codes of the Fluss protocol, with the two facts a client acts on: may the request be
 * repeated, and is the cached leader or coordinator stale.
 *
 * <p>Two codes are repeated here that the protocol does not call retriable, since time cures them:
 * a coordinator that no longer leads has a successor, and scanners of others end.
 */
public enum ErrorCode {
  UNKNOWN_SERVER_ERROR(-1, false, false),
  NONE(0, false, false),
  NETWORK_EXCEPTION(1, true, true),
  UNSUPPORTED_VERSION(2, false, false),
  CORRUPT_MESSAGE(3, true, false),
  DATABASE_NOT_EXIST(4, false, false),
  DATABASE_NOT_EMPTY(5, false, false),
  DATABASE_ALREADY_EXIST(6, false, false),
  TABLE_NOT_EXIST(7, false, false),
  TABLE_ALREADY_EXIST(8, false, false),
  SCHEMA_NOT_EXIST(9, true, false),
  LOG_STORAGE_EXCEPTION(10, true, false),
  KV_STORAGE_EXCEPTION(11, true, false),
  NOT_LEADER_OR_FOLLOWER(12, true, true),
  RECORD_TOO_LARGE_EXCEPTION(13, false, false),
  CORRUPT_RECORD_EXCEPTION(14, true, false),
  INVALID_TABLE_EXCEPTION(15, false, false),
  INVALID_DATABASE_EXCEPTION(16, false, false),
  INVALID_REPLICATION_FACTOR(17, false, false),
  INVALID_REQUIRED_ACKS(18, false, false),
  LOG_OFFSET_OUT_OF_RANGE_EXCEPTION(19, false, false),
  NON_PRIMARY_KEY_TABLE_EXCEPTION(20, false, false),
  UNKNOWN_TABLE_OR_BUCKET_EXCEPTION(21, true, true),
  INVALID_UPDATE_VERSION_EXCEPTION(22, false, false),
  INVALID_COORDINATOR_EXCEPTION(23, false, false),
  FENCED_LEADER_EPOCH_EXCEPTION(24, false, false),
  REQUEST_TIME_OUT(25, true, false),
  STORAGE_EXCEPTION(26, true, false),
  OPERATION_NOT_ATTEMPTED_EXCEPTION(27, false, false),
  NOT_ENOUGH_REPLICAS_AFTER_APPEND_EXCEPTION(28, true, false),
  NOT_ENOUGH_REPLICAS_EXCEPTION(29, true, false),
  SECURITY_TOKEN_EXCEPTION(30, false, false),
  OUT_OF_ORDER_SEQUENCE_EXCEPTION(31, false, false),
  DUPLICATE_SEQUENCE_EXCEPTION(32, false, false),
  UNKNOWN_WRITER_ID_EXCEPTION(33, false, false),
  INVALID_COLUMN_PROJECTION(34, false, false),
  INVALID_TARGET_COLUMN(35, false, false),
  PARTITION_NOT_EXISTS(36, false, false),
  TABLE_NOT_PARTITIONED_EXCEPTION(37, false, false),
  INVALID_TIMESTAMP_EXCEPTION(38, false, false),
  INVALID_CONFIG_EXCEPTION(39, false, false),
  LAKE_STORAGE_NOT_CONFIGURED_EXCEPTION(40, false, false),
  KV_SNAPSHOT_NOT_EXIST(41, false, false),
  PARTITION_ALREADY_EXISTS(42, false, false),
  PARTITION_SPEC_INVALID_EXCEPTION(43, false, false),
  LEADER_NOT_AVAILABLE_EXCEPTION(44, true, true),
  PARTITION_MAX_NUM_EXCEPTION(45, false, false),
  AUTHENTICATE_EXCEPTION(46, false, false),
  SECURITY_DISABLED_EXCEPTION(47, false, false),
  AUTHORIZATION_EXCEPTION(48, false, false),
  BUCKET_MAX_NUM_EXCEPTION(49, false, false),
  FENCED_TIERING_EPOCH_EXCEPTION(50, false, false),
  RETRIABLE_AUTHENTICATE_EXCEPTION(51, false, false),
  INVALID_SERVER_RACK_INFO_EXCEPTION(52, false, false),
  LAKE_SNAPSHOT_NOT_EXIST(53, false, false),
  LAKE_TABLE_ALREADY_EXIST(54, false, false),
  INELIGIBLE_REPLICA_EXCEPTION(55, false, false),
  INVALID_ALTER_TABLE_EXCEPTION(56, false, false),
  DELETION_DISABLED_EXCEPTION(57, false, false),
  SERVER_NOT_EXIST_EXCEPTION(58, false, false),
  SEVER_TAG_ALREADY_EXIST_EXCEPTION(59, false, false),
  SEVER_TAG_NOT_EXIST_EXCEPTION(60, false, false),
  REBALANCE_FAILURE_EXCEPTION(61, false, false),
  NO_REBALANCE_IN_PROGRESS_EXCEPTION(62, false, false),
  INVALID_PRODUCER_ID_EXCEPTION(63, false, false),
  CONFIG_EXCEPTION(64, false, false),
  NOT_COORDINATOR_LEADER_EXCEPTION(65, true, true),
  SCANNER_EXPIRED(66, false, false),
  UNKNOWN_SCANNER_ID(67, false, false),
  INVALID_SCAN_REQUEST(68, false, false),
  TOO_MANY_SCANNERS(69, true, false),
  DISK_WRITE_LOCKED(70, true, false),
  INSUFFICIENT_KV_LEADER_REPLICA_CAPACITY(71, false, false),
  STORAGE_BACKPRESSURE_EXCEPTION(72, true, false),
  HISTORICAL_PARTITION_THROTTLED(73, true, false),
  INVALID_BUCKET_ROUTING(74, false, false);

  private static final Map<Integer, ErrorCode> BY_NUMBER = new HashMap<>();

  static {
    for (ErrorCode code : values()) {
      BY_NUMBER.put(code.number, code);
    }
  }

  private final int number;
  private final boolean retriable;
  private final boolean staleMetadata;

  ErrorCode(int number, boolean retriable, boolean staleMetadata) {
    this.number = number;
    this.retriable = retriable;
    this.staleMetadata = staleMetadata;
  }

  public int number() {
    return number;
  }

  public boolean retriable() {
    return retriable;
  }

  /** The cached leader or server list must be refreshed before the next try. */
  public boolean staleMetadata() {
    return staleMetadata;
  }

  /**
   * The code of a number on the wire; numbers of newer servers become {@link
   * #UNKNOWN_SERVER_ERROR}.
   */
  public static ErrorCode of(int number) {
    return BY_NUMBER.getOrDefault(number, UNKNOWN_SERVER_ERROR);
  }
}
