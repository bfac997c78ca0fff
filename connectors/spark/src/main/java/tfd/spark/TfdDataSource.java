package tfd.spark;

import java.util.Map;
import org.apache.spark.sql.connector.catalog.SessionConfigSupport;
import org.apache.spark.sql.connector.catalog.Table;
import org.apache.spark.sql.connector.catalog.TableProvider;
import org.apache.spark.sql.connector.expressions.Transform;
import org.apache.spark.sql.sources.DataSourceRegister;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.util.CaseInsensitiveStringMap;

/**
 * {@code df.write.format("tfd")}: the rows go straight from the executors to the nodes where a job
 * trains. Options may also be given as {@code --conf spark.datasource.tfd.OPTION=…}.
 */
public final class TfdDataSource
    implements TableProvider, DataSourceRegister, SessionConfigSupport {
  static final String NAME = "tfd";

  @Override
  public String shortName() {
    return NAME;
  }

  @Override
  public String keyPrefix() {
    return NAME;
  }

  /** A dataset of a job takes whatever is written; the feeds say what does not fit. */
  @Override
  public boolean supportsExternalMetadata() {
    return true;
  }

  @Override
  public StructType inferSchema(CaseInsensitiveStringMap options) {
    return new StructType();
  }

  @Override
  public Table getTable(
      StructType schema, Transform[] partitioning, Map<String, String> properties) {
    if (partitioning.length > 0) {
      throw new TfdException(
          "the format tfd takes no partitionBy: Spark's own partitions are pushed one by one");
    }
    return new TfdTable(schema);
  }
}
