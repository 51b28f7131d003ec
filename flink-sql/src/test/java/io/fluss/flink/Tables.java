package io.fluss.flink;

import io.fluss.client.TableDescriptor;
import io.fluss.client.TableInfo;
import io.fluss.client.TablePath;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;

/** Tables for tests. */
public final class Tables {

  public static final TablePath PATH = new TablePath("db", "t");

  public static final long TABLE_ID = 7;

  /** id BIGINT NOT NULL, v STRING, n INT. */
  public static final RowType ROW_TYPE =
      new RowType(
          false,
          Arrays.asList(
              new RowType.RowField("id", new BigIntType(false)),
              new RowType.RowField("v", new VarCharType(VarCharType.MAX_LENGTH)),
              new RowType.RowField("n", new IntType())));

  private Tables() {}

  /** A table with the columns above and primary key id. */
  public static TableInfo primaryKeyTable(int buckets) {
    return table(ROW_TYPE, Collections.singletonList("id"), Collections.emptyList(), buckets);
  }

  /** A log table with the columns above. */
  public static TableInfo logTable(int buckets) {
    return table(ROW_TYPE, Collections.emptyList(), Collections.emptyList(), buckets);
  }

  public static TableInfo table(
      RowType rowType, List<String> primaryKey, List<String> bucketKey, int buckets) {
    TableDescriptor descriptor =
        TableDescriptor.builder()
            .rowType(rowType)
            .primaryKey(primaryKey)
            .bucketKey(bucketKey)
            .bucketCount(buckets)
            .build();
    return new TableInfo(PATH, TABLE_ID, 1, descriptor, 0, 0);
  }
}
