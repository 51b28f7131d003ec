package io.fluss.client.row;

import static io.fluss.client.Vectors.hex;
import static io.fluss.client.Vectors.list;
import static io.fluss.client.Vectors.objects;
import static org.apache.flink.types.RowKind.INSERT;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.FlussException;
import io.fluss.client.Vectors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.BinaryType;
import org.apache.flink.table.types.logical.CharType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;

/** Rows, byte for byte, against rows.json. */
class RowVectorsTest {
  @Test
  void compacted() {
    check(RowFormat.COMPACTED, "compacted");
  }

  @Test
  void indexed() {
    check(RowFormat.INDEXED, "indexed");
  }

  private static void check(RowFormat format, String column) {
    int checked = 0;
    for (Map<String, Object> vector : objects(Vectors.load("rows.json").get("cases"))) {
      RowType type = Vectors.rowType(vector.get("schema"));
      RowEncoder encoder = RowEncoder.of(format, type);
      RowDecoder decoder = new RowDecoder(format, type.getChildren());
      for (Map<String, Object> row : objects(vector.get("rows"))) {
        String name = vector.get("name") + " " + row.get("values");
        GenericRowData values = Vectors.row(type, list(row.get("values")));
        ByteOutput out = new ByteOutput(1);
        if (row.get(column) == null) {
          assertThrows(
              IllegalArgumentException.class, () -> encoder.encode(values, null, out), name);
          continue;
        }
        byte[] expected = hex(row.get(column));
        encoder.encode(values, null, out);
        assertEquals(hex(expected), hex(out.toByteArray()), name);
        byte[] shifted = new byte[expected.length + 3];
        System.arraycopy(expected, 0, shifted, 3, expected.length);
        RowData decoded = decoder.decode(shifted, 3, expected.length, RowKind.INSERT);
        RowData whole = format == RowFormat.INDEXED ? padded(type, values) : values;
        assertEquals(Vectors.values(type, whole), Vectors.values(type, decoded), name);
        checked++;
      }
    }
    assertTrue(checked > 200, "only " + checked + " rows");
  }

  /** The row with BINARY values of their declared length. */
  private static RowData padded(RowType type, GenericRowData row) {
    GenericRowData result = new GenericRowData(row.getArity());
    for (int i = 0; i < row.getArity(); i++) {
      boolean isBinary = type.getTypeAt(i) instanceof BinaryType && !row.isNullAt(i);
      result.setField(
          i,
          isBinary
              ? Arrays.copyOf(row.getBinary(i), ((BinaryType) type.getTypeAt(i)).getLength())
              : row.getField(i));
    }
    return result;
  }

  @Test
  void trailingZerosOfBinaryAreKeptThoseOfCharAreNot() {
    List<LogicalType> types = List.of(new BinaryType(4), new CharType(4));
    for (RowFormat format : RowFormat.values()) {
      ByteOutput out = new ByteOutput(16);
      RowEncoder.of(format, RowType.of(types.toArray(new LogicalType[0])))
          .encode(
              GenericRowData.of(new byte[] {1, 0, 2, 0}, StringData.fromString("ab")), null, out);
      RowData row = new RowDecoder(format, types).decode(out.array(), 0, out.size(), INSERT);

      assertArrayEquals(new byte[] {1, 0, 2, 0}, row.getBinary(0), format.name());
      assertEquals("ab", row.getString(1).toString(), format.name());
    }
  }

  @Test
  void decodesOlderSchemasAndProjections() {
    List<LogicalType> stored =
        List.of(new IntType(), new VarCharType(VarCharType.MAX_LENGTH), new IntType());
    RowEncoder encoder =
        RowEncoder.of(RowFormat.COMPACTED, RowType.of(stored.toArray(new LogicalType[0])));
    ByteOutput out = new ByteOutput(1);
    encoder.encode(
        GenericRowData.of(1, org.apache.flink.table.data.StringData.fromString("x"), 3), null, out);
    RowDecoder decoder =
        new RowDecoder(
            RowFormat.COMPACTED,
            stored,
            new int[] {2, -1, 0},
            List.of(new IntType(), new IntType(), new IntType()));
    RowData row = decoder.decode(out.array(), 0, out.size(), RowKind.DELETE);
    assertEquals(3, row.getArity());
    assertEquals(3, row.getInt(0));
    assertTrue(row.isNullAt(1));
    assertEquals(1, row.getInt(2));
    assertEquals(RowKind.DELETE, row.getRowKind());
  }

  @Test
  void cutRowsAreRefused() {
    for (RowFormat format : RowFormat.values()) {
      for (Map<String, Object> vector : objects(Vectors.load("rows.json").get("cases"))) {
        RowType type = Vectors.rowType(vector.get("schema"));
        RowDecoder decoder = new RowDecoder(format, type.getChildren());
        for (Map<String, Object> row : objects(vector.get("rows"))) {
          Object text = row.get(format == RowFormat.COMPACTED ? "compacted" : "indexed");
          if (text == null) {
            continue;
          }
          byte[] bytes = hex(text);
          for (int length = 0; length < bytes.length; length++) {
            byte[] cut = Arrays.copyOf(bytes, length);
            assertThrows(
                FlussException.class,
                () -> decoder.decode(cut, 0, cut.length, RowKind.INSERT),
                vector.get("name") + " cut to " + length);
          }
        }
      }
    }
  }

  @Test
  void nullInNotNullColumnIsRefused() {
    RowEncoder encoder = RowEncoder.of(RowFormat.COMPACTED, RowType.of(new IntType(false)));
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class,
            () -> encoder.encode(new GenericRowData(1), null, new ByteOutput(1)));
    assertTrue(error.getMessage().contains("'f0'"), error.getMessage());
  }

  @Test
  void keysAndBuckets() {
    int keys = 0;
    for (Map<String, Object> vector : objects(Vectors.load("keys.json").get("cases"))) {
      RowType type = Vectors.rowType(vector.get("schema"));
      List<String> names = new ArrayList<>();
      list(vector.get("keys")).forEach(name -> names.add((String) name));
      int[] indexes = names.stream().mapToInt(type::getFieldIndex).toArray();
      KeyWriter writer = new KeyWriter(type, indexes);
      for (Map<String, Object> row : objects(vector.get("rows"))) {
        Map<String, Object> fluss = Vectors.object(row.get("fluss"));
        ByteOutput out = new ByteOutput(1);
        GenericRowData values = Vectors.row(type, list(row.get("values")));
        if (fluss.get("key") == null) {
          assertThrows(IllegalArgumentException.class, () -> writer.write(values, out));
          continue;
        }
        writer.write(values, out);
        assertEquals(fluss.get("key"), hex(out.toByteArray()));
        checkBuckets(out.toByteArray(), fluss.get("buckets"));
        keys++;
      }
    }
    assertTrue(keys > 100, "only " + keys + " keys");
    for (Map<String, Object> hash : objects(Vectors.load("keys.json").get("raw_hashes"))) {
      byte[] bytes = hex(hash.get("bytes"));
      assertEquals(
          ((Long) hash.get("murmur_seed42")).intValue(), Buckets.hash(bytes, 0, bytes.length));
      if (bytes.length > 0) {
        checkBuckets(bytes, hash.get("fluss_buckets"));
      }
    }
  }

  private static void checkBuckets(byte[] key, Object expected) {
    List<?> buckets = expected == null ? Collections.emptyList() : list(expected);
    for (int i = 0; i < buckets.size(); i++) {
      assertEquals(
          ((Long) buckets.get(i)).intValue(),
          Buckets.bucketOf(key, 0, key.length, i + 1),
          hex(key));
    }
  }
}
