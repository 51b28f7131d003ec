package io.fluss.client.arrow;

import io.airlift.compress.MalformedInputException;
import io.airlift.compress.lz4.Lz4Decompressor;
import io.airlift.compress.zstd.ZstdDecompressor;
import io.fluss.client.row.Bytes;

/**
 * Decompresses buffers one after the other. One instance is kept by whoever reads many batches: the
 * zstd codec alone has 159 KB of tables, far more than a typical buffer. Not thread-safe.
 */
public final class Decompressor {

  /** Larger sizes are taken for damage. */
  private static final long MAX_BUFFER_BYTES = 1L << 30;

  /** Null until the first buffer that needs it, like the other one. */
  private ZstdDecompressor zstd;

  private Lz4Decompressor lz4;

  /**
   * The plain bytes of a compressed buffer, in a new array. The array holds nothing of earlier
   * buffers, so that a damaged frame cannot show them.
   *
   * @param size bytes of the buffer, including the length; at least 8
   */
  byte[] decompress(Compression compression, byte[] data, int offset, int size) {
    long length = Bytes.getLong(data, offset);
    if (length == -1) {
      return Bytes.copy(data, offset + 8, size - 8);
    }
    if (length < 0 || length > MAX_BUFFER_BYTES) {
      throw Bytes.corrupt("a compressed buffer states the length " + length);
    }
    byte[] plain = new byte[(int) length];
    int decoded;
    try {
      decoded =
          compression == Compression.ZSTD
              ? zstd().decompress(data, offset + 8, size - 8, plain, 0, plain.length)
              : Lz4Frame.decode(lz4(), data, offset + 8, size - 8, plain);
    } catch (MalformedInputException | IndexOutOfBoundsException e) {
      // What a broken frame leaves in the codec is not trusted.
      zstd = null;
      lz4 = null;
      throw Bytes.corrupt("a compressed buffer is damaged: " + e.getMessage());
    }
    if (decoded != plain.length) {
      throw Bytes.corrupt("a compressed buffer has " + decoded + " bytes instead of " + length);
    }
    return plain;
  }

  private ZstdDecompressor zstd() {
    if (zstd == null) {
      zstd = new ZstdDecompressor();
    }
    return zstd;
  }

  private Lz4Decompressor lz4() {
    if (lz4 == null) {
      lz4 = new Lz4Decompressor();
    }
    return lz4;
  }
}
