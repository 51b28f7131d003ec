package io.fluss.flink.table;

import io.fluss.flink.row.RowConverter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.flink.table.expressions.CallExpression;
import org.apache.flink.table.expressions.FieldReferenceExpression;
import org.apache.flink.table.expressions.ResolvedExpression;
import org.apache.flink.table.expressions.ValueLiteralExpression;
import org.apache.flink.table.functions.BuiltInFunctionDefinitions;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeFamily;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;

/**
 * Finds the one primary key that a conjunction of predicates admits: {@code column = literal} for
 * every key column.
 *
 * <p>Only types are used whose equality in SQL is equality of the stored key: not FLOAT and DOUBLE
 * (0.0 = -0.0) and not CHAR (padding).
 */
final class KeyLiterals {

  private final Map<String, Object> values = new HashMap<>();
  private final List<ResolvedExpression> used = new ArrayList<>();
  private final List<String> primaryKey;

  private KeyLiterals(List<String> primaryKey) {
    this.primaryKey = primaryKey;
  }

  /** Reads the conjuncts that fix a column of the primary key. */
  static KeyLiterals of(
      List<ResolvedExpression> conjuncts, RowType rowType, List<String> primaryKey) {
    KeyLiterals literals = new KeyLiterals(primaryKey);
    for (ResolvedExpression conjunct : conjuncts) {
      literals.add(conjunct, rowType);
    }
    return literals;
  }

  private void add(ResolvedExpression conjunct, RowType rowType) {
    if (!(conjunct instanceof CallExpression)
        || ((CallExpression) conjunct).getFunctionDefinition()
            != BuiltInFunctionDefinitions.EQUALS) {
      return;
    }
    ResolvedExpression left = conjunct.getResolvedChildren().get(0);
    ResolvedExpression right = conjunct.getResolvedChildren().get(1);
    if (left instanceof ValueLiteralExpression) {
      ResolvedExpression swapped = left;
      left = right;
      right = swapped;
    }
    if (!(left instanceof FieldReferenceExpression) || !(right instanceof ValueLiteralExpression)) {
      return;
    }
    String name = ((FieldReferenceExpression) left).getName();
    if (!primaryKey.contains(name) || values.containsKey(name)) {
      return;
    }
    LogicalType type = rowType.getTypeAt(rowType.getFieldIndex(name));
    literal((ValueLiteralExpression) right, type)
        .ifPresent(
            value -> {
              values.put(name, value);
              used.add(conjunct);
            });
  }

  /** The value of a literal if a column of {@code type} can hold exactly that value. */
  private static Optional<Object> literal(ValueLiteralExpression literal, LogicalType type) {
    LogicalType literalType = literal.getOutputDataType().getLogicalType();
    if (literal.isNull() || !comparable(literalType, type)) {
      return Optional.empty();
    }
    Optional<?> value =
        literal.getValueAs(literal.getOutputDataType().nullable().getConversionClass());
    try {
      value.ifPresent(v -> RowConverter.toInternal(type).convert(v));
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
    return value.map(v -> (Object) v);
  }

  private static boolean comparable(LogicalType literal, LogicalType column) {
    switch (column.getTypeRoot()) {
      case VARCHAR:
        return literal.is(LogicalTypeFamily.CHARACTER_STRING);
      case TINYINT:
      case SMALLINT:
      case INTEGER:
      case BIGINT:
        return literal.is(LogicalTypeFamily.INTEGER_NUMERIC);
      case DECIMAL:
        // A literal with more digits after the point than the column would be rounded.
        return literal.is(LogicalTypeFamily.INTEGER_NUMERIC) || literal.equals(column.copy(false));
      case VARBINARY:
        return literal.is(LogicalTypeFamily.BINARY_STRING);
      case BOOLEAN:
      case DATE:
      case TIME_WITHOUT_TIME_ZONE:
        return literal.is(column.getTypeRoot());
      case TIMESTAMP_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        return literal.copy(true).equals(column.copy(true));
      default:
        return literal.is(LogicalTypeRoot.BINARY) && literal.copy(true).equals(column.copy(true));
    }
  }

  /** The conjuncts that fix key columns. */
  List<ResolvedExpression> used() {
    return used;
  }

  /**
   * The key's values in key order, as {@code RowConverter} reads them, if every column is fixed.
   */
  Optional<Object[]> key() {
    if (primaryKey.isEmpty() || values.size() < primaryKey.size()) {
      return Optional.empty();
    }
    return Optional.of(primaryKey.stream().map(values::get).toArray());
  }
}
