package io.fluss.flink.catalog;

import java.util.Collections;
import java.util.List;
import org.apache.flink.table.expressions.Expression;
import org.apache.flink.table.expressions.ExpressionVisitor;
import org.apache.flink.table.expressions.ResolvedExpression;
import org.apache.flink.table.expressions.SqlFactory;
import org.apache.flink.table.types.DataType;

/** A resolved expression that prints as the SQL it was made of, as the planner's own does. */
final class SqlText implements ResolvedExpression {

  private final DataType type;
  private final String sql;

  SqlText(DataType type, String sql) {
    this.type = type;
    this.sql = sql;
  }

  @Override
  public DataType getOutputDataType() {
    return type;
  }

  @Override
  public List<ResolvedExpression> getResolvedChildren() {
    return Collections.emptyList();
  }

  @Override
  public String asSummaryString() {
    return sql;
  }

  @Override
  public String asSerializableString(SqlFactory factory) {
    return sql;
  }

  @Override
  public List<Expression> getChildren() {
    return Collections.emptyList();
  }

  @Override
  public <R> R accept(ExpressionVisitor<R> visitor) {
    return visitor.visit(this);
  }
}
