package org.apache.flink.table.catalog;

/**
 * Stands for an enum of Flink 2.2 that Flink 2.3 has moved elsewhere and that the official connector for 2.2 refers to
 * when it is loaded. Only tests need it: it lets that connector, unmodified, run on Flink 2.3.
 */
public enum IntervalFreshness$TimeUnit {
  SECOND,
  MINUTE,
  HOUR,
  DAY
}
