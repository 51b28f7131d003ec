package io.fluss.flink.source;

import java.io.Serializable;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.table.data.RowData;

/** Converts the rows of a scan to what the source emits. */
public interface RecordDeserializer<T> extends Serializable, ResultTypeQueryable<T> {

  /**
   * @param row the columns of the scan in the requested order; its kind tells the change
   */
  T deserialize(RowData row);
}
