package io.fluss.flink.sink;

import java.io.Serializable;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.RowData;

/** Converts what reaches a sink to the rows it writes; their kind says what to do with them. */
public interface RowSerializer<T> extends Serializable {

  RowData serialize(T element);

  /** What {@link #serialize} takes. */
  Class<T> elementClass();

  /**
   * {@link #serialize} of an element whose class is checked: Flink does not check that the type of
   * a stream is that of its sink.
   *
   * @throws ValidationException naming both, for an element of another class
   */
  default RowData rowOf(Object element) {
    if (elementClass().isInstance(element)) {
      return serialize(elementClass().cast(element));
    }
    // Python functions without an output type send their results as pickled bytes.
    String hint =
        element instanceof byte[]
            ? " A Python stream needs its type: output_type=Types.ROW_NAMED(names, types)."
            : "";
    throw new ValidationException(
        String.format(
            "A Fluss sink takes a stream of %s, not of %s.%s",
            elementClass().getSimpleName(),
            element == null ? "null" : element.getClass().getSimpleName(),
            hint));
  }
}
