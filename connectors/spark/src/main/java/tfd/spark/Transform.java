package tfd.spark;

import java.util.Iterator;
import java.util.List;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;

/** Adds the answers of a serving job to rows; what the executors get of it. Immutable. */
final class Transform implements MapPartitionsFunction<Row, Row> {
  private static final long serialVersionUID = 1;

  private final WriteOptions options;
  private final FeatureReader features;
  private final List<Endpoint> workers;

  private Transform(WriteOptions options, FeatureReader features, List<Endpoint> workers) {
    this.options = options;
    this.features = features;
    this.workers = workers;
  }

  /** The rows and behind them what the job answers; nothing is computed yet. */
  static Dataset<Row> apply(
      WriteOptions options, List<String> inputs, String prefix, Dataset<?> rows) {
    FeatureReader features = new FeatureReader(rows.schema(), inputs);
    StructType answers = Predictor.answersOf(options, features.type());
    Transform transform = new Transform(options, features, Predictor.workersOf(options));
    return rows.toDF()
        .mapPartitions(
            (MapPartitionsFunction<Row, Row>) transform,
            Encoders.row(add(rows.schema(), answers, prefix)));
  }

  /** The columns of the rows and those of the answers. */
  static StructType add(StructType rows, StructType answers, String prefix) {
    StructType all = rows;
    for (StructField answer : answers.fields()) {
      String name = prefix + answer.name();
      for (String known : rows.fieldNames()) {
        if (known.equalsIgnoreCase(name)) {
          throw new TfdException(
              "there is a column \""
                  + known
                  + "\" already: drop it, or set outputPrefix, which is put before the names of"
                  + " the columns with answers");
        }
      }
      all = all.add(name, answer.dataType(), answer.nullable());
    }
    return all;
  }

  @Override
  public Iterator<Row> call(Iterator<Row> rows) {
    return AnsweredRows.ofTask(options, features, workers, rows);
  }
}
