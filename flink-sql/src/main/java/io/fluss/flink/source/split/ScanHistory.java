package io.fluss.flink.source.split;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import javax.annotation.Nullable;

/**
 * Which part of a bucket's key space was read, and as of which changelog offset.
 *
 * <p>The state of a primary-key bucket is read in key order from a scan that shows the state as of
 * one offset of the changelog. A scan cannot be resumed after a restart; a new one sees a later
 * state. The history keeps what is needed to go on without a row lost or repeated: ranges {@code
 * (k[i-1], k[i]]} of encoded primary keys, each with the offset {@code o[i]} of the scan that read
 * it. From it follow
 *
 * <ul>
 *   <li>the rows of a new scan to skip: all up to the last key read ({@link #wasRead});
 *   <li>where the changelog starts: at the smallest offset ({@link #changelogStart});
 *   <li>the changes to drop: those below the offset of the range their key lies in, because the row
 *       read there contains them already ({@link #contains}).
 * </ul>
 *
 * <p>Keys are ordered as unsigned bytes, as the server stores them. Offsets of later scans are
 * never smaller. Instances are immutable.
 */
public final class ScanHistory {

  private static final ScanHistory EMPTY = new ScanHistory(Collections.emptyList(), false);

  private final List<Range> ranges;
  private final boolean complete;

  private ScanHistory(List<Range> ranges, boolean complete) {
    this.ranges = ranges;
    this.complete = complete;
  }

  /** Nothing read. */
  public static ScanHistory empty() {
    return EMPTY;
  }

  /**
   * A history with these ranges, as a serializer needs it.
   *
   * @throws IllegalArgumentException if the ranges do not ascend or are not closed as {@code
   *     complete} says
   */
  public static ScanHistory of(List<Range> ranges, boolean complete) {
    Range previous = null;
    for (int i = 0; i < ranges.size(); i++) {
      Range range = ranges.get(i);
      boolean open = range.lastKey == null;
      if (open != (complete && i == ranges.size() - 1)) {
        throw new IllegalArgumentException("Only the last range of a complete history is open.");
      }
      if (previous != null
          && (range.offset < previous.offset
              || !open && Arrays.compareUnsigned(previous.lastKey, range.lastKey) >= 0)) {
        throw new IllegalArgumentException("Ranges must ascend by key and offset.");
      }
      previous = range;
    }
    return new ScanHistory(Collections.unmodifiableList(new ArrayList<>(ranges)), complete);
  }

  /** The history after all keys up to and including {@code lastKey} were read at {@code offset}. */
  public ScanHistory read(byte[] lastKey, long offset) {
    return extend(Objects.requireNonNull(lastKey), offset);
  }

  /** The history after a scan at {@code offset} came to the end of the key space. */
  public ScanHistory finish(long offset) {
    return extend(null, offset);
  }

  private ScanHistory extend(@Nullable byte[] lastKey, long offset) {
    if (complete) {
      throw new IllegalStateException("The state was read to its end before.");
    }
    List<Range> next = new ArrayList<>(ranges);
    int last = next.size() - 1;
    if (last >= 0 && next.get(last).offset == offset) {
      Range grown = next.remove(last);
      if (lastKey != null && Arrays.compareUnsigned(grown.lastKey, lastKey) >= 0) {
        throw new IllegalArgumentException("A scan returns keys in ascending order.");
      }
    }
    next.add(new Range(lastKey, offset));
    return of(next, lastKey == null);
  }

  /** Whether a scan came to the end of the key space. */
  public boolean isComplete() {
    return complete;
  }

  /** The ranges in ascending order; only the last one of a complete history has no last key. */
  public List<Range> ranges() {
    return ranges;
  }

  /** Whether the row with this key was read before, so that a new scan has to skip it. */
  public boolean wasRead(byte[] key) {
    if (complete) {
      return true;
    }
    return !ranges.isEmpty()
        && Arrays.compareUnsigned(key, ranges.get(ranges.size() - 1).lastKey) <= 0;
  }

  /** First offset of the changelog to read once the history is complete. */
  public long changelogStart() {
    requireComplete();
    if (ranges.isEmpty()) {
      throw new IllegalStateException("The ranges were dropped when the changelog passed them.");
    }
    return ranges.get(0).offset;
  }

  /** From this offset on every change is new for every key. */
  public long filterEnd() {
    requireComplete();
    return ranges.isEmpty() ? 0 : ranges.get(ranges.size() - 1).offset;
  }

  /** Whether the row read for {@code key} contains the change at {@code offset} already. */
  public boolean contains(byte[] key, long offset) {
    requireComplete();
    if (offset >= filterEnd()) {
      return false;
    }
    int low = 0;
    int high = ranges.size() - 1;
    while (low < high) {
      int middle = (low + high) >>> 1;
      byte[] lastKey = ranges.get(middle).lastKey;
      if (lastKey == null || Arrays.compareUnsigned(key, lastKey) <= 0) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return offset < ranges.get(low).offset;
  }

  /**
   * The same history without what no longer matters when the changelog was read up to {@code
   * offset}.
   */
  public ScanHistory withoutPast(long offset) {
    if (!complete || offset < filterEnd()) {
      return this;
    }
    return new ScanHistory(Collections.emptyList(), true);
  }

  private void requireComplete() {
    if (!complete) {
      throw new IllegalStateException("The state was not read to its end yet.");
    }
  }

  @Override
  public boolean equals(Object other) {
    if (!(other instanceof ScanHistory)) {
      return false;
    }
    ScanHistory that = (ScanHistory) other;
    return complete == that.complete && ranges.equals(that.ranges);
  }

  @Override
  public int hashCode() {
    return 31 * ranges.hashCode() + Boolean.hashCode(complete);
  }

  @Override
  public String toString() {
    return (complete ? "complete" : "partial") + ranges;
  }

  /** The keys after those of the range before it, up to and including the last key. */
  public static final class Range {
    @Nullable private final byte[] lastKey;
    private final long offset;

    /**
     * @param lastKey encoded primary key; null: to the end of the key space
     * @param offset the scan shows the state after all changes below this changelog offset
     */
    public Range(@Nullable byte[] lastKey, long offset) {
      this.lastKey = lastKey;
      this.offset = offset;
    }

    @Nullable
    public byte[] lastKey() {
      return lastKey;
    }

    public long offset() {
      return offset;
    }

    @Override
    public boolean equals(Object other) {
      if (!(other instanceof Range)) {
        return false;
      }
      Range that = (Range) other;
      return offset == that.offset && Arrays.equals(lastKey, that.lastKey);
    }

    @Override
    public int hashCode() {
      return 31 * Arrays.hashCode(lastKey) + Long.hashCode(offset);
    }

    @Override
    public String toString() {
      return (lastKey == null ? "end" : Arrays.toString(lastKey)) + "@" + offset;
    }
  }
}
