package io.fluss.flink.source;

import org.apache.flink.api.connector.source.SourceEvent;

/**
 * From the enumerator to a reader for which there are no splits now, though there may be later: it
 * must not hold back the watermark of the others.
 */
public final class NothingToRead implements SourceEvent {

  private static final long serialVersionUID = 1L;
}
