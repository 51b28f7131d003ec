package io.fluss.flink.table;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.math.BigDecimal;
import java.time.LocalDate;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.expressions.CallExpression;
import org.apache.flink.table.expressions.FieldReferenceExpression;
import org.apache.flink.table.expressions.ResolvedExpression;
import org.apache.flink.table.expressions.ValueLiteralExpression;
import org.apache.flink.table.functions.BuiltInFunctionDefinition;
import org.apache.flink.table.functions.BuiltInFunctionDefinitions;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.Test;

class KeyLiteralsTest {

  private static ResolvedExpression call(
      BuiltInFunctionDefinition function, ResolvedExpression left, ResolvedExpression right) {
    return CallExpression.permanent(function, Arrays.asList(left, right), DataTypes.BOOLEAN());
  }

  private static ResolvedExpression equal(ResolvedExpression left, ResolvedExpression right) {
    return call(BuiltInFunctionDefinitions.EQUALS, left, right);
  }

  private static ResolvedExpression field(String name, DataType type) {
    return new FieldReferenceExpression(name, type, 0, 0);
  }

  private static ValueLiteralExpression literal(Object value, DataType type) {
    return new ValueLiteralExpression(value, type.notNull());
  }

  private static KeyLiterals literals(DataType keyType, ResolvedExpression... conjuncts) {
    RowType rowType = (RowType) DataTypes.ROW(DataTypes.FIELD("k", keyType)).getLogicalType();
    return KeyLiterals.of(Arrays.asList(conjuncts), rowType, Collections.singletonList("k"));
  }

  private static boolean isKey(DataType columnType, Object value, DataType literalType) {
    return literals(columnType, equal(field("k", columnType), literal(value, literalType)))
        .key()
        .isPresent();
  }

  @Test
  void everyKeyColumnMustBeFixed() {
    RowType rowType =
        (RowType)
            DataTypes.ROW(
                    DataTypes.FIELD("a", DataTypes.BIGINT()),
                    DataTypes.FIELD("b", DataTypes.STRING()),
                    DataTypes.FIELD("c", DataTypes.INT()))
                .getLogicalType();
    List<String> key = Arrays.asList("b", "a");
    ResolvedExpression a = equal(literal(5, DataTypes.INT()), field("a", DataTypes.BIGINT()));
    ResolvedExpression b = equal(field("b", DataTypes.STRING()), literal("x", DataTypes.CHAR(1)));
    ResolvedExpression c =
        call(
            BuiltInFunctionDefinitions.GREATER_THAN,
            field("c", DataTypes.INT()),
            literal(1, DataTypes.INT()));

    KeyLiterals all = KeyLiterals.of(Arrays.asList(a, c, b), rowType, key);
    assertArrayEquals(new Object[] {"x", 5}, all.key().get());
    assertEquals(Arrays.asList(a, b), all.used());
    assertFalse(KeyLiterals.of(Arrays.asList(a, c), rowType, key).key().isPresent());
  }

  @Test
  void typesWhoseEqualityIsThatOfTheKey() {
    assertEquals(true, isKey(DataTypes.TINYINT(), 5, DataTypes.INT()));
    assertEquals(true, isKey(DataTypes.DATE(), LocalDate.of(2013, 1, 1), DataTypes.DATE()));
    assertEquals(
        true, isKey(DataTypes.DECIMAL(5, 2), new BigDecimal("1.50"), DataTypes.DECIMAL(5, 2)));
    assertEquals(true, isKey(DataTypes.BYTES(), new byte[] {1}, DataTypes.BINARY(1)));
    assertEquals(true, isKey(DataTypes.BOOLEAN(), true, DataTypes.BOOLEAN()));
  }

  @Test
  void othersAreLeftToTheScan() {
    assertEquals(false, isKey(DataTypes.TINYINT(), 300, DataTypes.INT()));
    assertEquals(false, isKey(DataTypes.DOUBLE(), 0.0, DataTypes.DOUBLE()));
    assertEquals(false, isKey(DataTypes.CHAR(3), "ab", DataTypes.CHAR(2)));
    assertEquals(
        false, isKey(DataTypes.DECIMAL(5, 2), new BigDecimal("1.555"), DataTypes.DECIMAL(4, 3)));
    assertEquals(false, isKey(DataTypes.INT(), new BigDecimal("1.5"), DataTypes.DECIMAL(2, 1)));
  }

  @Test
  void nullEqualsNothing() {
    ResolvedExpression nothing = new ValueLiteralExpression(null, DataTypes.BIGINT());
    assertFalse(
        literals(DataTypes.BIGINT(), equal(field("k", DataTypes.BIGINT()), nothing))
            .key()
            .isPresent());
  }
}
