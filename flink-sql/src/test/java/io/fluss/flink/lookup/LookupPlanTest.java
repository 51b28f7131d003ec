package io.fluss.flink.lookup;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.TableException;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.Test;

class LookupPlanTest {

  /** Produced columns; the table's primary key is (a, b), in this order. */
  private static final RowType PRODUCED =
      (RowType)
          DataTypes.ROW(
                  DataTypes.FIELD("v", DataTypes.STRING()),
                  DataTypes.FIELD("b", DataTypes.INT()),
                  DataTypes.FIELD("a", DataTypes.INT()),
                  DataTypes.FIELD("list", DataTypes.ARRAY(DataTypes.INT())))
              .getLogicalType();

  private static final int V = 0;
  private static final int B = 1;
  private static final int A = 2;
  private static final int LIST = 3;

  private static final List<String> KEY = Arrays.asList("a", "b");

  private static LookupPlan resolve(List<String> bucketKey, int... lookupKeys) {
    return LookupPlan.resolve("db.t", KEY, bucketKey, List.of(), PRODUCED, lookupKeys);
  }

  @Test
  void keysAreReorderedToKeyOrder() {
    LookupPlan plan = resolve(KEY, B, A);

    assertFalse(plan.isPrefix());
    assertArrayEquals(new int[] {1, 0}, plan.keyPositions());
    assertEquals(0, plan.filterPositions().length);
  }

  @Test
  void extraKeysBecomeFilters() {
    LookupPlan plan = resolve(KEY, A, V, B);

    assertArrayEquals(new int[] {0, 2}, plan.keyPositions());
    assertArrayEquals(new int[] {1}, plan.filterPositions());
    assertArrayEquals(new int[] {V}, plan.filterColumns());
  }

  @Test
  void aBucketKeyThatBeginsThePrimaryKeyIsEnough() {
    LookupPlan plan = resolve(Collections.singletonList("a"), V, A);

    assertTrue(plan.isPrefix());
    assertArrayEquals(new int[] {1}, plan.keyPositions());
    assertArrayEquals(new int[] {0}, plan.filterPositions());
  }

  @Test
  void thePrimaryKeyIsPreferredToThePrefix() {
    assertFalse(resolve(Collections.singletonList("a"), B, A).isPrefix());
  }

  @Test
  void oneColumnComparedTwiceIsLookedUpOnceAndFiltered() {
    LookupPlan plan = resolve(KEY, A, A, B);

    assertArrayEquals(new int[] {0, 2}, plan.keyPositions());
    assertArrayEquals(new int[] {1}, plan.filterPositions());
    assertArrayEquals(new int[] {A}, plan.filterColumns());
  }

  @Test
  void otherKeysAreRefused() {
    TableException e =
        assertThrows(TableException.class, () -> resolve(Collections.singletonList("a"), B, V));
    assertEquals(
        "Table db.t can be looked up by all columns of its primary key [a, b], or by a bucket key"
            + " that begins it, [a], not by [b, v].",
        e.getMessage());
    assertThrows(TableException.class, () -> resolve(Collections.singletonList("b"), B));
    assertThrows(TableException.class, () -> resolve(KEY, A));
  }

  @Test
  void partitionColumnsAlwaysHaveToBeFixed() {
    List<String> key = Arrays.asList("a", "b", "v");
    List<String> bucketKey = Collections.singletonList("a");
    List<String> partitionKey = Collections.singletonList("v");

    LookupPlan plan =
        LookupPlan.resolve("db.t", key, bucketKey, partitionKey, PRODUCED, new int[] {V, A});
    assertTrue(plan.isPrefix());
    assertArrayEquals(new int[] {1, 0}, plan.keyPositions());
    plan = LookupPlan.resolve("db.t", key, bucketKey, partitionKey, PRODUCED, new int[] {V, B, A});
    assertFalse(plan.isPrefix());
    assertArrayEquals(new int[] {2, 1, 0}, plan.keyPositions());
    TableException e =
        assertThrows(
            TableException.class,
            () ->
                LookupPlan.resolve("db.t", key, bucketKey, partitionKey, PRODUCED, new int[] {A}));
    assertEquals(
        "Table db.t can be looked up by all columns of its primary key [a, b, v], or by a bucket"
            + " key that begins it, [a, v], not by [a].",
        e.getMessage());
  }

  @Test
  void nestedValuesCannotBeCompared() {
    assertThrows(TableException.class, () -> resolve(KEY, A, B, LIST));
  }
}
