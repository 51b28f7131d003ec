package io.fluss.client.arrow;

import io.airlift.compress.lz4.Lz4Compressor;
import io.airlift.compress.zstd.ZstdCompressor;
import io.fluss.client.row.ByteOutput;
import io.fluss.client.row.Bytes;
import java.util.Locale;
import org.apache.arrow.flatbuf.CompressionType;

/**
 * Compression of Arrow body buffers. A compressed buffer is an int64 with the uncompressed length,
 * then one frame; -1 as length means that the bytes follow as they are.
 */
public enum Compression {
  NONE,
  LZ4_FRAME,
  ZSTD;

  /**
   * Compression of an option text of {@code table.log.arrow.compression.type}; null means the
   * default.
   */
  public static Compression of(String option) {
    return option == null ? ZSTD : valueOf(option.toUpperCase(Locale.ROOT));
  }

  static Compression ofCodec(byte codec) {
    switch (codec) {
      case CompressionType.LZ4_FRAME:
        return LZ4_FRAME;
      case CompressionType.ZSTD:
        return ZSTD;
      default:
        throw Bytes.corrupt("unknown Arrow compression codec " + codec);
    }
  }

  byte codec() {
    return this == LZ4_FRAME ? CompressionType.LZ4_FRAME : CompressionType.ZSTD;
  }

  /** Compresses buffers one after the other. Not thread-safe. */
  static final class Encoder {
    private final Compression compression;
    private final ZstdCompressor zstd = new ZstdCompressor();
    private final Lz4Compressor lz4 = new Lz4Compressor();

    Encoder(Compression compression) {
      this.compression = compression;
    }

    /** Appends length and frame, or the bytes as they are when compression does not pay. */
    void encode(byte[] input, int length, ByteOutput out) {
      out.writeLong(length);
      int start = out.size();
      int frameSize =
          compression == ZSTD
              ? encodeZstd(input, length, out)
              : Lz4Frame.encode(lz4, input, length, out);
      if (frameSize >= length) {
        out.size(start);
        out.putLong(start - 8, -1);
        out.writeBytes(input, 0, length);
      }
    }

    private int encodeZstd(byte[] input, int length, ByteOutput out) {
      int start = out.size();
      int max = zstd.maxCompressedLength(length);
      out.size(start + max);
      int size = zstd.compress(input, 0, length, out.array(), start, max);
      out.size(start + size);
      return size;
    }
  }
}
