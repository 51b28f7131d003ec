package io.fluss.client.arrow;

import io.airlift.compress.lz4.Lz4Compressor;
import io.airlift.compress.lz4.Lz4Decompressor;
import io.fluss.client.row.ByteOutput;
import io.fluss.client.row.Bytes;

/**
 * LZ4 frames: magic {@code 04 22 4d 18}, flag byte, block-size byte, optional content size (8) and
 * dictionary id (4), header checksum byte, then blocks of {@code [int32 size, bit 31 =
 * stored][bytes]} (each with a 4-byte checksum if the flags say so), an int32 0, and an optional
 * 4-byte content checksum.
 *
 * <p>Written are independent blocks of 64 KiB, the only form that official Java clients read. Read
 * are linked blocks too, as liblz4 writes them. Checksums inside a frame are skipped: the log batch
 * has its own.
 */
final class Lz4Frame {
  private static final int MAGIC = 0x184d2204;
  private static final int BLOCK_BYTES = 64 * 1024;
  private static final int STORED = 0x80000000;

  /** Version 1, independent blocks; blocks of at most 64 KiB; checksum byte of these two. */
  private static final byte[] HEADER = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, (byte) 0x82};

  private Lz4Frame() {}

  /** Appends a frame and returns its size. */
  static int encode(Lz4Compressor lz4, byte[] input, int length, ByteOutput out) {
    int start = out.size();
    out.writeBytes(HEADER);
    for (int position = 0; position < length; position += BLOCK_BYTES) {
      int blockLength = Math.min(BLOCK_BYTES, length - position);
      int sizeAt = out.size();
      int max = lz4.maxCompressedLength(blockLength);
      out.size(sizeAt + 4 + max);
      int size = lz4.compress(input, position, blockLength, out.array(), sizeAt + 4, max);
      if (size < blockLength) {
        out.putInt(sizeAt, size);
        out.size(sizeAt + 4 + size);
      } else {
        out.putInt(sizeAt, blockLength | STORED);
        out.size(sizeAt + 4);
        out.writeBytes(input, position, blockLength);
      }
    }
    out.writeInt(0);
    return out.size() - start;
  }

  /**
   * Decodes the frame in {@code data[offset, offset + size)} into {@code plain}; returns the number
   * of plain bytes.
   */
  static int decode(Lz4Decompressor lz4, byte[] data, int offset, int size, byte[] plain) {
    int end = offset + size;
    if (size < 7 || Bytes.getInt(data, offset) != MAGIC) {
      throw Bytes.corrupt("an LZ4 frame has the wrong magic");
    }
    int flags = data[offset + 4];
    if ((flags & 0xC0) != 0x40) {
      throw Bytes.corrupt("an LZ4 frame has an unknown version");
    }
    boolean independent = (flags & 0x20) != 0;
    int blockChecksum = (flags & 0x10) != 0 ? 4 : 0;
    int position = offset + 7 + ((flags & 0x08) != 0 ? 8 : 0) + ((flags & 0x01) != 0 ? 4 : 0);
    int written = 0;
    while (true) {
      if (position + 4 > end) {
        throw Bytes.corrupt("an LZ4 frame ends in the middle of a block");
      }
      int blockHeader = Bytes.getInt(data, position);
      position += 4;
      if (blockHeader == 0) {
        return written;
      }
      int blockSize = blockHeader & ~STORED;
      if (blockSize > end - position) {
        throw Bytes.corrupt("an LZ4 frame ends in the middle of a block");
      }
      if ((blockHeader & STORED) != 0) {
        System.arraycopy(data, position, plain, written, blockSize);
        written += blockSize;
      } else if (independent) {
        written +=
            lz4.decompress(data, position, blockSize, plain, written, plain.length - written);
      } else {
        written = decodeLinkedBlock(data, position, position + blockSize, plain, written);
      }
      position += blockSize + blockChecksum;
    }
  }

  /**
   * Decodes one block whose matches may reach back into earlier blocks; returns the new number of
   * plain bytes.
   */
  private static int decodeLinkedBlock(
      byte[] data, int position, int end, byte[] plain, int written) {
    while (position < end) {
      int token = data[position++] & 0xFF;
      int literals = token >>> 4;
      if (literals == 15) {
        int more;
        do {
          more = data[position++] & 0xFF;
          literals += more;
        } while (more == 255);
      }
      if (literals > end - position) {
        throw Bytes.corrupt("an LZ4 block ends in the middle of literals");
      }
      System.arraycopy(data, position, plain, written, literals);
      position += literals;
      written += literals;
      if (position == end) {
        return written;
      }
      int distance = Bytes.getShort(data, position) & 0xFFFF;
      position += 2;
      int match = token & 15;
      if (match == 15) {
        int more;
        do {
          more = data[position++] & 0xFF;
          match += more;
        } while (more == 255);
      }
      match += 4;
      int from = written - distance;
      if (distance == 0 || from < 0) {
        throw Bytes.corrupt("an LZ4 block refers to bytes before its frame");
      }
      if (distance >= match) {
        System.arraycopy(plain, from, plain, written, match);
        written += match;
      } else {
        // The match overlaps what it produces.
        for (int i = 0; i < match; i++) {
          plain[written++] = plain[from++];
        }
      }
    }
    return written;
  }
}
