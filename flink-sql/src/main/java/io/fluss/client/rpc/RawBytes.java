package io.fluss.client.rpc;

import com.google.protobuf.ByteOutput;
import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;

/**
 * The array behind a byte field of a response, without a copy: responses are parsed so that fields
 * refer to the frame.
 */
public final class RawBytes extends ByteOutput {
  private byte[] data = new byte[0];
  private int offset;
  private int length;

  private RawBytes() {}

  public static RawBytes of(ByteString bytes) {
    RawBytes result = new RawBytes();
    if (!bytes.isEmpty()) {
      try {
        UnsafeByteOperations.unsafeWriteTo(bytes, result);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return result;
  }

  /** A copy, so that one small value does not keep a whole response in memory. */
  public static RawBytes copyOf(ByteString bytes) {
    RawBytes result = new RawBytes();
    result.data = bytes.toByteArray();
    result.length = result.data.length;
    return result;
  }

  public byte[] data() {
    return data;
  }

  public int offset() {
    return offset;
  }

  public int length() {
    return length;
  }

  @Override
  public void writeLazy(byte[] value, int offset, int length) {
    if (this.length != 0) {
      throw new IllegalStateException("a byte field in several pieces");
    }
    this.data = value;
    this.offset = offset;
    this.length = length;
  }

  @Override
  public void write(byte value) {
    writeLazy(new byte[] {value}, 0, 1);
  }

  @Override
  public void write(byte[] value, int offset, int length) {
    writeLazy(value, offset, length);
  }

  @Override
  public void write(ByteBuffer value) {
    byte[] copy = new byte[value.remaining()];
    value.get(copy);
    writeLazy(copy, 0, copy.length);
  }

  @Override
  public void writeLazy(ByteBuffer value) {
    write(value);
  }
}
