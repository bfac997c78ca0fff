package tfd.spark;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.spark.ml.Model;
import org.apache.spark.ml.param.IntParam;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.param.StringArrayParam;
import org.apache.spark.ml.util.DefaultParamsReader;
import org.apache.spark.ml.util.DefaultParamsWritable;
import org.apache.spark.ml.util.Identifiable;
import org.apache.spark.ml.util.MLReader;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;

/**
 * A trained model that adds its predictions to rows. The rows go from the executors straight to the
 * workers of a serving job, which have the model loaded: the job {@code job}, or one that is
 * submitted for the model when transform is called first, and ends with close() or with the JVM.
 * Thread-compatible.
 */
public final class TfdModel extends Model<TfdModel>
    implements DefaultParamsWritable, AutoCloseable {
  private static final long serialVersionUID = 1;

  private final String uid;
  private final Param<String> coordinator;
  private final Param<String> model;
  private final Param<String> job;
  private final StringArrayParam inputCols;
  private final Param<String> outputPrefix;
  private final IntParam topK;
  private final Param<String> labels;
  private final IntParam workers;
  private final Param<String> timeout;

  /** For Spark, which makes copies by this, and for a model that is there. */
  public TfdModel(String uid) {
    // A Param asks for it.
    this.uid = uid;
    coordinator =
        new Param<>(this, "coordinator", "HOST:PORT; else spark.datasource.tfd.coordinator");
    job =
        new Param<>(
            this, "job", "a job that serves already; empty: one is submitted for the model");
    model =
        new Param<>(this, "model", "the export's folder, or the storage of the job that made it");
    inputCols =
        new StringArrayParam(this, "inputCols", "the columns with features, in the model's order");
    outputPrefix =
        new Param<>(this, "outputPrefix", "put before the names of the columns with answers");
    topK = new IntParam(this, "topK", "more than 1: also predictions and probabilities, so many");
    labels = new Param<>(this, "labels", "a file with the names of labels, one a line");
    workers =
        new IntParam(this, "workers", "of the job that is submitted: each has the model loaded");
    timeout =
        new Param<>(this, "timeout", "how long a worker or the coordinator may make no progress");
    setDefault(coordinator, "");
    setDefault(model, "");
    setDefault(job, "");
    setDefault(inputCols, new String[] {"features"});
    setDefault(outputPrefix, "");
    setDefault(topK, 1);
    setDefault(labels, "");
    setDefault(workers, 2);
    setDefault(timeout, "2m");
  }

  public TfdModel() {
    this(Identifiable.randomUID("tfdModel"));
  }

  @Override
  public String uid() {
    return uid;
  }

  public Param<String> coordinator() {
    return coordinator;
  }

  public Param<String> model() {
    return model;
  }

  public Param<String> job() {
    return job;
  }

  public StringArrayParam inputCols() {
    return inputCols;
  }

  public Param<String> outputPrefix() {
    return outputPrefix;
  }

  public IntParam topK() {
    return topK;
  }

  public Param<String> labels() {
    return labels;
  }

  public IntParam workers() {
    return workers;
  }

  public Param<String> timeout() {
    return timeout;
  }

  public TfdModel setCoordinator(String value) {
    set(coordinator, value);
    return this;
  }

  public TfdModel setModel(String value) {
    set(model, value);
    return this;
  }

  public String getModel() {
    return getOrDefault(model);
  }

  public TfdModel setJob(String value) {
    set(job, value);
    return this;
  }

  public TfdModel setInputCols(String... value) {
    set(inputCols, value);
    return this;
  }

  public TfdModel setOutputPrefix(String value) {
    set(outputPrefix, value);
    return this;
  }

  public TfdModel setTopK(int value) {
    set(topK, value);
    return this;
  }

  public TfdModel setLabels(String value) {
    set(labels, value);
    return this;
  }

  public TfdModel setWorkers(int value) {
    set(workers, value);
    return this;
  }

  public TfdModel setTimeout(String value) {
    set(timeout, value);
    return this;
  }

  /**
   * The rows with all their columns in their order, and the answers behind them. Submits the
   * serving job where there is none and waits until it runs; the rows are answered when Spark needs
   * them.
   */
  @Override
  public Dataset<Row> transform(Dataset<?> dataset) {
    SparkSession spark = dataset.sparkSession();
    new FeatureReader(dataset.schema(), inputs()); // before anything is started
    String serving = getOrDefault(job);
    if (serving.isEmpty()) {
      serving = ServingJobs.start(options(spark, "").coordinator, uid, spec());
    }
    return Transform.apply(options(spark, serving), inputs(), getOrDefault(outputPrefix), dataset);
  }

  @Override
  public StructType transformSchema(StructType schema) {
    String serving = getOrDefault(job);
    StructType answers =
        serving.isEmpty()
            ? Answers.type((Integer) getOrDefault(topK), !getOrDefault(labels).isEmpty())
            : Predictor.answersOf(
                options(SparkSession.active(), serving),
                new StructType().add("features", DataTypes.FloatType));
    return Transform.add(schema, answers, getOrDefault(outputPrefix));
  }

  private List<String> inputs() {
    return new ArrayList<>(Arrays.asList(getOrDefault(inputCols)));
  }

  private String spec() {
    if (getOrDefault(model).isEmpty()) {
      throw new TfdException(
          "this TfdModel has no model: setModel(FOLDER) names an export, or setJob(ID) a job that"
              + " serves one");
    }
    return ServingJobs.spec(
        getOrDefault(model),
        (Integer) getOrDefault(workers),
        (Integer) getOrDefault(topK),
        getOrDefault(labels));
  }

  private WriteOptions options(SparkSession spark, String serving) {
    Map<String, String> options = new HashMap<>();
    options.put("job", serving.isEmpty() ? "none yet" : serving);
    options.put("dataset", ExchangeStream.PREDICT);
    options.put("timeout", getOrDefault(timeout));
    return SessionOptions.with(spark, getOrDefault(coordinator), options);
  }

  /** Ends the job that was submitted for this model, if there is one; its copies share it. */
  @Override
  public void close() {
    ServingJobs.stop(uid);
  }

  @Override
  public TfdModel copy(ParamMap extra) {
    TfdModel copied = defaultCopy(extra);
    return copied.setParent(parent());
  }

  /** As Spark wants it of what can be read. */
  public static MLReader<TfdModel> read() {
    return new DefaultParamsReader<>();
  }

  public static TfdModel load(String path) {
    return read().load(path);
  }
}
