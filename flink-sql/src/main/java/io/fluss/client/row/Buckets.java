package io.fluss.client.row;

/**
 * Bucket of a key: Murmur3 with seed 42 over the key bytes, hashed once more. 32-bit arithmetic;
 * the up to three bytes after the last whole word go in one by one, sign-extended, each through a
 * full round.
 */
public final class Buckets {
  private static final int C1 = 0xcc9e2d51;
  private static final int C2 = 0x1b873593;

  private Buckets() {}

  /** Bucket in {@code [0, buckets)} of the key in {@code data[offset, offset + length)}. */
  public static int bucketOf(byte[] data, int offset, int length, int buckets) {
    if (length == 0) {
      throw new IllegalArgumentException("a key has at least one byte");
    }
    int hash = mixHash(0, mixKey(hash(data, offset, length)));
    hash = finish(hash ^ 4);
    return hash == Integer.MIN_VALUE ? 0 : Math.abs(hash) % buckets;
  }

  /** Murmur3 with seed 42 and the tail described above. */
  static int hash(byte[] data, int offset, int length) {
    int hash = 42;
    int aligned = length & ~3;
    for (int i = 0; i < aligned; i += 4) {
      hash = mixHash(hash, mixKey(Bytes.getInt(data, offset + i)));
    }
    for (int i = aligned; i < length; i++) {
      hash = mixHash(hash, mixKey(data[offset + i]));
    }
    return finish(hash ^ length);
  }

  private static int mixKey(int key) {
    return Integer.rotateLeft(key * C1, 15) * C2;
  }

  private static int mixHash(int hash, int key) {
    return Integer.rotateLeft(hash ^ key, 13) * 5 + 0xe6546b64;
  }

  private static int finish(int hash) {
    hash ^= hash >>> 16;
    hash *= 0x85ebca6b;
    hash ^= hash >>> 13;
    hash *= 0xc2b2ae35;
    return hash ^ hash >>> 16;
  }
}
