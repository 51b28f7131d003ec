package io.fluss.client.row;

import java.util.List;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;

/** Field kinds of a view and the decoders of its nested fields. */
final class RowLayout {
  private final FieldKind[] kinds;
  private final ArrayDecoder[] arrays;
  private final ArrayDecoder.MapDecoder[] maps;
  private final RowDecoder[] rows;

  RowLayout(RowFormat format, List<LogicalType> types) {
    kinds = new FieldKind[types.size()];
    arrays = new ArrayDecoder[kinds.length];
    maps = new ArrayDecoder.MapDecoder[kinds.length];
    rows = new RowDecoder[kinds.length];
    for (int i = 0; i < kinds.length; i++) {
      LogicalType type = types.get(i);
      kinds[i] = FieldKind.of(type);
      if (type instanceof ArrayType) {
        arrays[i] = new ArrayDecoder(((ArrayType) type).getElementType(), format);
      } else if (type instanceof MapType) {
        maps[i] = new ArrayDecoder.MapDecoder((MapType) type, format);
      } else if (type instanceof RowType) {
        rows[i] = new RowDecoder(format, type.getChildren());
      }
    }
  }

  int size() {
    return kinds.length;
  }

  FieldKind kind(int field) {
    return kinds[field];
  }

  ArrayDecoder array(int field) {
    return arrays[field];
  }

  ArrayDecoder.MapDecoder map(int field) {
    return maps[field];
  }

  RowDecoder row(int field) {
    return rows[field];
  }
}
