package io.fluss.flink.catalog;

import io.fluss.client.AggFunction;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import javax.annotation.Nullable;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;

/**
 * Aggregation functions of columns as options of a table, with the keys of the official connector:
 *
 * <pre>
 *   fields.[column].agg                      the function, in any case, with - or _
 *   fields.[column].[function].[parameter]   a parameter of it
 * </pre>
 *
 * <p>They become part of the schema, where the server applies them, and are never stored as
 * properties.
 */
final class AggregationOptions {

  private static final String PREFIX = "fields.";
  private static final String FUNCTION = "agg";
  private static final String DELIMITER = "delimiter";
  private static final String MERGE_ENGINE = "table.merge-engine";
  private static final String AGGREGATION = "aggregation";

  private static final Set<LogicalTypeRoot> NUMBERS =
      EnumSet.of(
          LogicalTypeRoot.TINYINT,
          LogicalTypeRoot.SMALLINT,
          LogicalTypeRoot.INTEGER,
          LogicalTypeRoot.BIGINT,
          LogicalTypeRoot.FLOAT,
          LogicalTypeRoot.DOUBLE,
          LogicalTypeRoot.DECIMAL);

  private static final Set<LogicalTypeRoot> ORDERED = ordered();

  private static Set<LogicalTypeRoot> ordered() {
    Set<LogicalTypeRoot> roots = EnumSet.copyOf(NUMBERS);
    roots.addAll(
        Arrays.asList(
            LogicalTypeRoot.CHAR,
            LogicalTypeRoot.VARCHAR,
            LogicalTypeRoot.DATE,
            LogicalTypeRoot.TIME_WITHOUT_TIME_ZONE,
            LogicalTypeRoot.TIMESTAMP_WITHOUT_TIME_ZONE,
            LogicalTypeRoot.TIMESTAMP_WITH_LOCAL_TIME_ZONE));
    return roots;
  }

  /** The functions with the types that they accept; null stands for all types. */
  private enum Function {
    SUM(NUMBERS),
    PRODUCT(NUMBERS),
    MAX(ORDERED),
    MIN(ORDERED),
    LAST_VALUE(null),
    LAST_VALUE_IGNORE_NULLS(null),
    FIRST_VALUE(null),
    FIRST_VALUE_IGNORE_NULLS(null),
    // Official servers create tables with these functions on CHAR, and then fail to merge rows.
    LISTAGG(EnumSet.of(LogicalTypeRoot.VARCHAR), DELIMITER),
    STRING_AGG(EnumSet.of(LogicalTypeRoot.VARCHAR), DELIMITER),
    BOOL_AND(EnumSet.of(LogicalTypeRoot.BOOLEAN)),
    BOOL_OR(EnumSet.of(LogicalTypeRoot.BOOLEAN)),
    RBM32(EnumSet.of(LogicalTypeRoot.VARBINARY)),
    RBM64(EnumSet.of(LogicalTypeRoot.VARBINARY));

    @Nullable private final Set<LogicalTypeRoot> types;
    private final List<String> parameters;

    Function(@Nullable Set<LogicalTypeRoot> types, String... parameters) {
      this.types = types;
      this.parameters = Arrays.asList(parameters);
    }

    /** The name in the protocol. */
    String id() {
      return name().toLowerCase(Locale.ROOT);
    }

    @Nullable
    static Function of(String name) {
      String id = name.trim().toLowerCase(Locale.ROOT).replace('-', '_');
      return Arrays.stream(values()).filter(f -> f.id().equals(id)).findFirst().orElse(null);
    }
  }

  private AggregationOptions() {}

  /** Whether a key belongs to the group of these options, valid or not. */
  static boolean isInGroup(String key) {
    return key.startsWith(PREFIX);
  }

  /**
   * The functions that the options of a new table declare, by column.
   *
   * @param columns the physical columns
   * @throws ValidationException for a key of the group that declares nothing, and for a function
   *     that the column or the table cannot have
   */
  static Map<String, AggFunction> parse(
      Map<String, String> options, RowType columns, List<String> primaryKey) {
    Map<String, Function> functions = new LinkedHashMap<>();
    Map<String, String> parameterKeys = new TreeMap<>();
    for (Map.Entry<String, String> option : new TreeMap<>(options).entrySet()) {
      String key = option.getKey();
      if (!isInGroup(key)) {
        continue;
      }
      if (!AGGREGATION.equalsIgnoreCase(options.get(MERGE_ENGINE))) {
        throw new ValidationException(
            String.format(
                "Option '%s' needs an aggregation table: set '%s' = '%s', or leave the option out"
                    + " (in CREATE TABLE ... LIKE with EXCLUDING OPTIONS).",
                key, MERGE_ENGINE, AGGREGATION));
      }
      String column = columnOf(key, columns.getFieldNames());
      if (column == null) {
        throw new ValidationException(
            String.format(
                "Option '%s' names no column of the table; its physical columns are %s.",
                key, columns.getFieldNames()));
      }
      if (primaryKey.contains(column)) {
        throw new ValidationException(
            String.format(
                "Option '%s': column '%s' belongs to the primary key, which is not aggregated.",
                key, column));
      }
      if (restOf(key, column).equals(FUNCTION)) {
        functions.put(column, function(key, option.getValue(), column, columns));
      } else {
        parameterKeys.put(key, column);
      }
    }
    Map<String, Map<String, String>> parameters = new HashMap<>();
    parameterKeys.forEach(
        (key, column) ->
            parameters
                .computeIfAbsent(column, ignored -> new TreeMap<>())
                .put(parameter(key, column, functions.get(column)), notEmpty(key, options)));
    Map<String, AggFunction> result = new LinkedHashMap<>();
    functions.forEach(
        (column, function) ->
            result.put(
                column,
                new AggFunction(
                    function.id(), parameters.getOrDefault(column, Collections.emptyMap()))));
    return result;
  }

  /** The column with the longest name that a key can mean; null for none. */
  @Nullable
  private static String columnOf(String key, List<String> columns) {
    String best = null;
    for (String column : columns) {
      if (key.startsWith(PREFIX + column + ".")
          && (best == null || column.length() > best.length())) {
        best = column;
      }
    }
    return best;
  }

  private static String restOf(String key, String column) {
    return key.substring(PREFIX.length() + column.length() + 1);
  }

  private static Function function(String key, String name, String column, RowType columns) {
    Function function = Function.of(name);
    if (function == null) {
      throw new ValidationException(
          String.format(
              "Option '%s' = '%s': there is no such function; functions are %s.",
              key,
              name,
              Arrays.stream(Function.values()).map(Function::id).collect(Collectors.toList())));
    }
    LogicalTypeRoot root = columns.getTypeAt(columns.getFieldIndex(column)).getTypeRoot();
    if (function.types != null && !function.types.contains(root)) {
      throw new ValidationException(
          String.format(
              "Option '%s': %s cannot aggregate column '%s' of type %s; it accepts %s.",
              key,
              function.id(),
              column,
              columns.getTypeAt(columns.getFieldIndex(column)).asSummaryString(),
              function.types));
    }
    return function;
  }

  private static String parameter(String key, String column, @Nullable Function function) {
    String rest = restOf(key, column);
    int dot = rest.indexOf('.');
    String functionKey = PREFIX + column + "." + FUNCTION;
    if (dot < 0 || Function.of(rest.substring(0, dot)) == null) {
      throw new ValidationException(
          String.format("Unknown option '%s'. Did you mean '%s'?", key, functionKey));
    }
    if (Function.of(rest.substring(0, dot)) != function) {
      throw new ValidationException(
          String.format(
              "Option '%s' has no effect: '%s' is %s.",
              key, functionKey, function == null ? "not set" : "'" + function.id() + "'"));
    }
    String parameter = rest.substring(dot + 1);
    if (!function.parameters.contains(parameter)) {
      throw new ValidationException(
          String.format(
              "Option '%s': %s has no parameter '%s'; its parameters are %s.",
              key, function.id(), parameter, function.parameters));
    }
    return parameter;
  }

  private static String notEmpty(String key, Map<String, String> options) {
    String value = options.get(key);
    if (value.isEmpty()) {
      throw new ValidationException("Option '" + key + "' must not be empty.");
    }
    return value;
  }

  /** The options that declare these functions. */
  static Map<String, String> format(Map<String, AggFunction> functions) {
    Map<String, String> options = new TreeMap<>();
    functions.forEach(
        (column, function) -> {
          String prefix = PREFIX + column + ".";
          options.put(prefix + FUNCTION, function.name());
          function
              .parameters()
              .forEach((name, value) -> options.put(prefix + function.name() + "." + name, value));
        });
    return options;
  }

  /**
   * Whether a stored property has the key of one of these options. The official connector stores
   * them beside the schema, and so did this one instead of it; the schema says what is true.
   */
  static boolean isOption(String key, List<String> columns) {
    String column = isInGroup(key) ? columnOf(key, columns) : null;
    if (column == null) {
      return false;
    }
    String rest = restOf(key, column);
    int dot = rest.indexOf('.');
    return rest.equals(FUNCTION) || dot > 0 && Function.of(rest.substring(0, dot)) != null;
  }

  /**
   * Columns of an aggregation table that were declared with a function which is not part of the
   * schema, so that the server keeps their last value.
   */
  static List<String> lost(
      Map<String, String> properties,
      Map<String, String> stored,
      List<String> columns,
      Map<String, AggFunction> functions) {
    if (!AGGREGATION.equalsIgnoreCase(properties.get(MERGE_ENGINE))) {
      return Collections.emptyList();
    }
    return columns.stream()
        .filter(column -> stored.containsKey(PREFIX + column + "." + FUNCTION))
        .filter(column -> !functions.containsKey(column))
        .collect(Collectors.toList());
  }
}
