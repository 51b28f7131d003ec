package io.fluss.flink.lookup;

import io.fluss.client.TableInfo;
import io.fluss.flink.source.reader.ScanSchema;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.function.UnaryOperator;
import javax.annotation.Nullable;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/** Makes keys out of a join's values and the join's rows out of those found. */
final class LookupRows {

  private final LookupPlan plan;
  private final UnaryOperator<RowData> projection;
  private final RowData.FieldGetter[] keyGetters;
  private final RowData.FieldGetter[] filterGetters;
  private final RowData.FieldGetter[] columnGetters;

  LookupRows(LookupSpec spec, TableInfo table) {
    plan = spec.plan();
    projection = ScanSchema.resolve(table, spec.producedType()).projectFull();
    int[] keyColumns = plan.isPrefix() ? table.prefixKeyIndexes() : table.primaryKeyIndexes();
    keyGetters = new RowData.FieldGetter[keyColumns.length];
    for (int i = 0; i < keyColumns.length; i++) {
      keyGetters[i] =
          RowData.createFieldGetter(
              table.rowType().getTypeAt(keyColumns[i]), plan.keyPositions()[i]);
    }
    RowType produced = spec.producedType();
    int filters = plan.filterPositions().length;
    filterGetters = new RowData.FieldGetter[filters];
    columnGetters = new RowData.FieldGetter[filters];
    for (int i = 0; i < filters; i++) {
      int column = plan.filterColumns()[i];
      filterGetters[i] =
          RowData.createFieldGetter(produced.getTypeAt(column), plan.filterPositions()[i]);
      columnGetters[i] = RowData.createFieldGetter(produced.getTypeAt(column), column);
    }
  }

  /** The key to look up; null if a value is null, which equals nothing. */
  @Nullable
  RowData key(RowData values) {
    for (int i = 0; i < values.getArity(); i++) {
      if (values.isNullAt(i)) {
        return null;
      }
    }
    GenericRowData key = new GenericRowData(keyGetters.length);
    for (int i = 0; i < keyGetters.length; i++) {
      key.setField(i, keyGetters[i].getFieldOrNull(values));
    }
    return key;
  }

  /** The produced columns of those rows found that match all values. */
  Collection<RowData> matching(RowData values, Collection<RowData> found) {
    List<RowData> result = new ArrayList<>(found.size());
    for (RowData row : found) {
      RowData produced = projection.apply(row);
      if (matches(values, produced)) {
        result.add(produced);
      }
    }
    return result;
  }

  private boolean matches(RowData values, RowData produced) {
    for (int i = 0; i < filterGetters.length; i++) {
      Object wanted = filterGetters[i].getFieldOrNull(values);
      Object actual = columnGetters[i].getFieldOrNull(produced);
      boolean equal =
          wanted instanceof byte[] && actual instanceof byte[]
              ? Arrays.equals((byte[]) wanted, (byte[]) actual)
              : Objects.equals(wanted, actual);
      if (!equal) {
        return false;
      }
    }
    return true;
  }
}
