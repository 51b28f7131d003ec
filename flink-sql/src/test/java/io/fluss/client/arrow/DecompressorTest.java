package io.fluss.client.arrow;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import io.fluss.client.FlussException;
import io.fluss.client.row.ByteOutput;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class DecompressorTest {

  private static byte[] compressed(Compression compression, byte[] plain) {
    ByteOutput out = new ByteOutput(1024);
    new Compression.Encoder(compression).encode(plain, plain.length, out);
    return Arrays.copyOf(out.array(), out.size());
  }

  private static byte[] plain(int seed, int length) {
    byte[] bytes = new byte[length];
    Random random = new Random(seed);
    for (int i = 0; i < length; i++) {
      bytes[i] = (byte) random.nextInt(4);
    }
    return bytes;
  }

  @ParameterizedTest
  @EnumSource(names = {"LZ4_FRAME", "ZSTD"})
  void manyBuffersOneAfterTheOther(Compression compression) {
    Decompressor decompressor = new Decompressor();
    for (int i = 0; i < 200; i++) {
      byte[] plain = plain(i, 1 + i * i * 7);
      byte[] frame = compressed(compression, plain);
      assertArrayEquals(plain, decompressor.decompress(compression, frame, 0, frame.length));
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"LZ4_FRAME", "ZSTD"})
  void aDamagedBufferDoesNotSpoilTheNextOne(Compression compression) {
    Decompressor decompressor = new Decompressor();
    byte[] plain = plain(1, 5000);
    byte[] frame = compressed(compression, plain);
    Random random = new Random(2);
    for (int i = 0; i < 300; i++) {
      byte[] damaged = frame.clone();
      damaged[8 + random.nextInt(frame.length - 8)] ^= (byte) (1 + random.nextInt(255));
      try {
        decompressor.decompress(compression, damaged, 0, damaged.length);
      } catch (FlussException e) {
        // Not every flipped bit is noticed here: the batch has a checksum of its own.
      }
      assertArrayEquals(plain, decompressor.decompress(compression, frame, 0, frame.length));
    }
    byte[] cut = Arrays.copyOf(frame, frame.length / 2);
    assertThrows(
        FlussException.class, () -> decompressor.decompress(compression, cut, 0, cut.length));
  }

  @ParameterizedTest
  @EnumSource(names = {"LZ4_FRAME", "ZSTD"})
  void smallBuffersTakeLittleMemory(Compression compression) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long thread = Thread.currentThread().getId();
    byte[] plain = plain(3, 512);
    byte[] frame = compressed(compression, plain);
    Decompressor decompressor = new Decompressor();
    decompressor.decompress(compression, frame, 0, frame.length);

    int buffers = 100;
    long before = threads.getThreadAllocatedBytes(thread);
    for (int i = 0; i < buffers; i++) {
      decompressor.decompress(compression, frame, 0, frame.length);
    }
    long perBuffer = (threads.getThreadAllocatedBytes(thread) - before) / buffers;

    assertTrue(perBuffer < 16 * 1024, perBuffer + " bytes a buffer");
  }
}
