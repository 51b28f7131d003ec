package io.fluss.flink.sink;

import java.io.Serializable;
import org.apache.flink.table.data.RowData;

/** Turns what reaches a sink into the rows it writes; their kind says what to do with them. */
public interface RowSerializer<T> extends Serializable {

  RowData serialize(T element);
}
