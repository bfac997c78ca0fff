package tfd.spark;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.spark.TaskContext;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.connector.catalog.functions.ScalarFunction;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.unsafe.types.UTF8String;
import org.apache.spark.util.TaskCompletionListener;

/**
 * {@code tfd_predict(JOB, column…)}: the prediction of a serving job for a row. SQL asks for one
 * value after the other, so each row is a call and its answer on a connection that a task keeps:
 * TfdModel is what large tables want. Used by one thread in each task.
 */
final class PredictFunction implements ScalarFunction<Object> {
  static final String NAME = "tfd_predict";
  private static final long serialVersionUID = 1;

  private final WriteOptions options;
  private final DataType[] inputTypes;
  private final StructType features;
  private final DataType resultType;
  private final List<Endpoint> workers;
  // In an executor: of the task that runs.
  private transient Connection connection;

  private PredictFunction(
      WriteOptions options,
      DataType[] inputTypes,
      StructType features,
      DataType resultType,
      List<Endpoint> workers) {
    this.options = options;
    this.inputTypes = inputTypes;
    this.features = features;
    this.resultType = resultType;
    this.workers = workers;
  }

  /** In the driver; asks the job what it answers. `types` are those of all arguments. */
  static PredictFunction of(SparkSession spark, String job, List<DataType> types) {
    StructType features = new StructType();
    for (int i = 1; i < types.size(); i++) {
      StructField field = new StructField("argument " + (i + 1), types.get(i), true, null);
      ColumnType.check(field);
      if (types.get(i) instanceof StringType) {
        throw new TfdException(
            NAME + ": argument " + (i + 1) + " is a string, which is no feature: give numbers");
      }
      features = features.add("c" + i, types.get(i));
    }
    WriteOptions options =
        SessionOptions.with(
            spark, "", Map.of("job", job, "dataset", ExchangeStream.PREDICT, "timeout", "2m"));
    StructType answers = Predictor.answersOf(options, features);
    return new PredictFunction(
        options,
        types.toArray(new DataType[0]),
        features,
        answers.fields()[0].dataType(),
        Predictor.workersOf(options));
  }

  @Override
  public DataType[] inputTypes() {
    return inputTypes;
  }

  @Override
  public DataType resultType() {
    return resultType;
  }

  @Override
  public boolean isResultNullable() {
    return false;
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String canonicalName() {
    return "tfd.predict(" + options.coordinator + "," + options.job + "," + features.json() + ")";
  }

  @Override
  public Object produceResult(InternalRow arguments) {
    if (connection == null) {
      connection = new Connection();
    }
    return connection.ask(arguments);
  }

  /** Kept for a task, or in the driver for what the optimizer computes there. */
  private final class Connection implements AutoCloseable {
    private final BufferAllocator allocator = new RootAllocator();
    private final RowEncoder encoder;
    private final Predictor predictor;

    Connection() {
      TaskContext task = TaskContext.get();
      encoder = new RowEncoder(features, allocator, options.batchBytes);
      int number = task == null ? 0 : task.partitionId();
      predictor = new Predictor(options, encoder.schema(), allocator, workers, number);
      if (task != null) {
        task.addTaskCompletionListener((TaskCompletionListener) context -> close());
      }
    }

    Object ask(InternalRow arguments) {
      List<Object> values = new ArrayList<>();
      for (int i = 1; i < inputTypes.length; i++) {
        values.add(arguments.isNullAt(i) ? null : arguments.get(i, inputTypes[i]));
      }
      encoder.append(new GenericInternalRow(values.toArray()));
      predictor.send(encoder.finish());
      Object answer = predictor.next().get(0, 0);
      if (TaskContext.get() == null) {
        close();
      }
      return resultType.equals(DataTypes.StringType)
          ? UTF8String.fromString((String) answer)
          : answer;
    }

    @Override
    public void close() {
      connection = null;
      predictor.close();
      encoder.close();
      allocator.close();
    }
  }
}
