package io.fluss.flink.sink;

import java.io.IOException;
import org.apache.flink.table.api.TableException;
import org.apache.flink.table.data.RowData;

/** One change applied by the client of a session, without a job. */
public final class SingleWrite {

  private SingleWrite() {}

  /**
   * Applies a row as its kind says and waits for the server.
   *
   * @throws TableException if it was not written
   */
  public static void of(SinkSpec spec, RowData row) {
    try (RowWriter writer = RowWriter.connect(spec)) {
      writer.write(row);
      writer.flush();
    } catch (IOException e) {
      throw new TableException("Writing to table " + spec.path() + " failed.", e);
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new TableException("Closing the connection failed.", e);
    }
  }
}
