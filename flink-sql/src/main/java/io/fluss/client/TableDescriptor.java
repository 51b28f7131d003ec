package io.fluss.client;

import io.fluss.client.json.MetadataJson;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.apache.flink.table.types.logical.RowType;

/**
 * What a table is to be: schema, distribution and options, as sent to the server on creation.
 * Immutable.
 */
public final class TableDescriptor {
  private final RowType rowType;
  private final List<Integer> columnIds;
  private final Map<String, String> columnComments;
  private final Map<String, AggFunction> aggFunctions;
  private final List<String> autoIncrement;
  private final List<String> primaryKey;
  private final List<String> bucketKey;
  private final List<String> partitionKeys;
  private final Integer bucketCount;
  private final Map<String, String> properties;
  private final Map<String, String> customProperties;
  private final String comment;

  private TableDescriptor(Builder builder) {
    this.rowType = builder.rowType;
    this.columnIds = Collections.unmodifiableList(new ArrayList<>(builder.columnIds));
    this.columnComments = Collections.unmodifiableMap(new LinkedHashMap<>(builder.columnComments));
    this.aggFunctions = Collections.unmodifiableMap(new LinkedHashMap<>(builder.aggFunctions));
    this.autoIncrement = Collections.unmodifiableList(new ArrayList<>(builder.autoIncrement));
    this.primaryKey = Collections.unmodifiableList(new ArrayList<>(builder.primaryKey));
    this.bucketKey = Collections.unmodifiableList(new ArrayList<>(builder.bucketKey));
    this.partitionKeys = Collections.unmodifiableList(new ArrayList<>(builder.partitionKeys));
    this.bucketCount = builder.bucketCount;
    this.properties = Collections.unmodifiableMap(new LinkedHashMap<>(builder.properties));
    this.customProperties =
        Collections.unmodifiableMap(new LinkedHashMap<>(builder.customProperties));
    this.comment = builder.comment;
  }

  public static Builder builder() {
    return new Builder();
  }

  public RowType rowType() {
    return rowType;
  }

  /** Stable column ids by position; empty until a server assigned or confirmed them. */
  public List<Integer> columnIds() {
    return columnIds;
  }

  /** Comments by column name. */
  public Map<String, String> columnComments() {
    return columnComments;
  }

  /** Aggregation functions by column name; columns without one are absent. */
  public Map<String, AggFunction> aggFunctions() {
    return aggFunctions;
  }

  /** Columns whose values the server gives; servers accept at most one. */
  public List<String> autoIncrement() {
    return autoIncrement;
  }

  public List<String> primaryKey() {
    return primaryKey;
  }

  public List<String> bucketKey() {
    return bucketKey;
  }

  public List<String> partitionKeys() {
    return partitionKeys;
  }

  public OptionalInt bucketCount() {
    return bucketCount == null ? OptionalInt.empty() : OptionalInt.of(bucketCount);
  }

  public Map<String, String> properties() {
    return properties;
  }

  public Map<String, String> customProperties() {
    return customProperties;
  }

  public Optional<String> comment() {
    return Optional.ofNullable(comment);
  }

  /** The {@code table_json} document of the protocol, for a new table. */
  public String toJson() {
    return MetadataJson.tableToJson(this);
  }

  /** Reads a {@code table_json} document (UTF-8). */
  public static TableDescriptor fromJson(byte[] utf8) {
    return MetadataJson.tableFromJson(utf8);
  }

  /** Builder; only {@link #rowType} is required. */
  public static final class Builder {
    private RowType rowType;
    private List<Integer> columnIds = Collections.emptyList();
    private Map<String, String> columnComments = Collections.emptyMap();
    private Map<String, AggFunction> aggFunctions = Collections.emptyMap();
    private List<String> autoIncrement = Collections.emptyList();
    private List<String> primaryKey = Collections.emptyList();
    private List<String> bucketKey = Collections.emptyList();
    private List<String> partitionKeys = Collections.emptyList();
    private Integer bucketCount;
    private final Map<String, String> properties = new LinkedHashMap<>();
    private final Map<String, String> customProperties = new LinkedHashMap<>();
    private String comment;

    private Builder() {}

    public Builder rowType(RowType rowType) {
      this.rowType = rowType;
      return this;
    }

    public Builder columnIds(List<Integer> columnIds) {
      this.columnIds = columnIds;
      return this;
    }

    public Builder columnComments(Map<String, String> columnComments) {
      this.columnComments = columnComments;
      return this;
    }

    public Builder aggFunctions(Map<String, AggFunction> aggFunctions) {
      this.aggFunctions = aggFunctions;
      return this;
    }

    public Builder autoIncrement(List<String> autoIncrement) {
      this.autoIncrement = autoIncrement;
      return this;
    }

    public Builder primaryKey(List<String> primaryKey) {
      this.primaryKey = primaryKey;
      return this;
    }

    public Builder bucketKey(List<String> bucketKey) {
      this.bucketKey = bucketKey;
      return this;
    }

    public Builder partitionKeys(List<String> partitionKeys) {
      this.partitionKeys = partitionKeys;
      return this;
    }

    /** Null: the server's default. */
    public Builder bucketCount(Integer bucketCount) {
      this.bucketCount = bucketCount;
      return this;
    }

    /** A {@code table.*} option. */
    public Builder property(String key, String value) {
      properties.put(key, value);
      return this;
    }

    public Builder properties(Map<String, String> properties) {
      this.properties.putAll(properties);
      return this;
    }

    public Builder customProperty(String key, String value) {
      customProperties.put(key, value);
      return this;
    }

    public Builder customProperties(Map<String, String> customProperties) {
      this.customProperties.putAll(customProperties);
      return this;
    }

    public Builder comment(String comment) {
      this.comment = comment;
      return this;
    }

    public TableDescriptor build() {
      if (rowType == null) {
        throw new IllegalStateException("a table needs a row type");
      }
      return new TableDescriptor(this);
    }
  }
}
