package tfd.spark;

import java.util.HashMap;
import java.util.Map;
import org.apache.spark.sql.SparkSession;

/** Options that may be given for a session, as --conf spark.datasource.tfd.OPTION=…. */
final class SessionOptions {
  private static final String PREFIX = "spark.datasource." + TfdDataSource.NAME + ".";

  private SessionOptions() {}

  /** Empty where the session has none. */
  static String get(SparkSession spark, String name) {
    return spark.conf().get(PREFIX + name, "");
  }

  /** These options, with the session's coordinator where none is given, and its token. */
  static WriteOptions with(SparkSession spark, String coordinator, Map<String, String> options) {
    Map<String, String> all = new HashMap<>(options);
    all.put("coordinator", coordinator.isEmpty() ? get(spark, "coordinator") : coordinator);
    all.put("token", get(spark, "token"));
    return WriteOptions.parse(all);
  }
}
