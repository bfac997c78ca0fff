package tfd.spark;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.spark.ml.Estimator;
import org.apache.spark.ml.param.BooleanParam;
import org.apache.spark.ml.param.IntParam;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.param.StringArrayParam;
import org.apache.spark.ml.util.DefaultParamsReader;
import org.apache.spark.ml.util.DefaultParamsWritable;
import org.apache.spark.ml.util.Identifiable;
import org.apache.spark.ml.util.MLReader;
import org.apache.spark.sql.Column;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.StructType;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains a model by a job of a spec on the rows of a DataFrame: submits the job, pushes the rows
 * into it, and waits until it has ended. The driver needs the program tfd. Thread-compatible.
 */
public final class TfdEstimator extends Estimator<TfdModel> implements DefaultParamsWritable {
  private static final long serialVersionUID = 1;
  private static final Logger LOG = LoggerFactory.getLogger(TfdEstimator.class);
  private static final long FIRST_PAUSE_MS = 100;
  private static final long LONGEST_PAUSE_MS = 2000;

  private final String uid;
  private final Param<String> coordinator;
  private final Param<String> spec;
  private final StringArrayParam overrides;
  private final BooleanParam overwrite;
  private final Param<String> job;
  private final Param<String> dataset;
  private final Param<String> timeout;
  private final Param<String> deadline;
  private final Param<String> outputPrefix;
  private final IntParam topK;
  private final Param<String> labels;
  private final IntParam workers;

  /** For Spark, which makes copies by this. */
  public TfdEstimator(String uid) {
    // A Param asks for it.
    this.uid = uid;
    coordinator =
        new Param<>(this, "coordinator", "HOST:PORT; else spark.datasource.tfd.coordinator");
    spec = new Param<>(this, "spec", "the file of the job's spec; its dataset has format: pushed");
    job = new Param<>(this, "job", "the id of the job; empty: a new one for each fit");
    overrides =
        new StringArrayParam(
            this, "overrides", "fields of the spec that are replaced: FIELD=VALUE");
    overwrite =
        new BooleanParam(this, "overwrite", "delete what an earlier job left in the storage");
    dataset = new Param<>(this, "dataset", "the dataset that the rows are pushed into");
    timeout =
        new Param<>(this, "timeout", "how long a feed or the coordinator may make no progress");
    deadline = new Param<>(this, "deadline", "how long the job may take once it has its rows");
    outputPrefix =
        new Param<>(this, "outputPrefix", "of the model: put before the names of its columns");
    topK =
        new IntParam(this, "topK", "of the model: more than 1: also predictions and probabilities");
    labels =
        new Param<>(this, "labels", "of the model: a file with the names of labels, one a line");
    workers = new IntParam(this, "workers", "of the model: how many workers serve it");
    setDefault(coordinator, "");
    setDefault(spec, "");
    setDefault(overrides, new String[0]);
    setDefault(overwrite, false);
    setDefault(job, "");
    setDefault(dataset, "train");
    setDefault(timeout, "2m");
    setDefault(deadline, "24h");
    setDefault(outputPrefix, "");
    setDefault(topK, 1);
    setDefault(labels, "");
    setDefault(workers, 2);
  }

  public TfdEstimator() {
    this(Identifiable.randomUID("tfdEstimator"));
  }

  @Override
  public String uid() {
    return uid;
  }

  public Param<String> coordinator() {
    return coordinator;
  }

  public Param<String> spec() {
    return spec;
  }

  public StringArrayParam overrides() {
    return overrides;
  }

  public BooleanParam overwrite() {
    return overwrite;
  }

  public Param<String> job() {
    return job;
  }

  public Param<String> dataset() {
    return dataset;
  }

  public Param<String> timeout() {
    return timeout;
  }

  public Param<String> deadline() {
    return deadline;
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

  public TfdEstimator setCoordinator(String value) {
    set(coordinator, value);
    return this;
  }

  public TfdEstimator setSpec(String value) {
    set(spec, value);
    return this;
  }

  public TfdEstimator setOverrides(String... value) {
    set(overrides, value);
    return this;
  }

  public TfdEstimator setOverwrite(boolean value) {
    set(overwrite, value);
    return this;
  }

  public TfdEstimator setJob(String value) {
    set(job, value);
    return this;
  }

  public TfdEstimator setDataset(String value) {
    set(dataset, value);
    return this;
  }

  public TfdEstimator setTimeout(String value) {
    set(timeout, value);
    return this;
  }

  public TfdEstimator setDeadline(String value) {
    set(deadline, value);
    return this;
  }

  public TfdEstimator setOutputPrefix(String value) {
    set(outputPrefix, value);
    return this;
  }

  public TfdEstimator setTopK(int value) {
    set(topK, value);
    return this;
  }

  public TfdEstimator setLabels(String value) {
    set(labels, value);
    return this;
  }

  public TfdEstimator setWorkers(int value) {
    set(workers, value);
    return this;
  }

  /** Returns once the job has succeeded. A job that cannot be fed is cancelled. */
  @Override
  public TfdModel fit(Dataset<?> rows) {
    WriteOptions options = options(rows.sparkSession());
    Duration most = WriteOptions.duration("deadline", getOrDefault(deadline));
    submit(options);
    JobView submitted = JobView.of(options.coordinator, options.job);
    List<String> features = submitted.features(options.dataset);
    feed(options, rows, features, submitted.label(options.dataset));
    JobView ended = await(options, most);
    LOG.info("job {} has succeeded: {}", options.job, ended.exportUri());
    TfdModel model =
        new TfdModel()
            .setCoordinator(getOrDefault(coordinator))
            .setModel(ended.exportUri())
            .setInputCols(features.toArray(new String[0]))
            .setOutputPrefix(getOrDefault(outputPrefix))
            .setTopK((Integer) getOrDefault(topK))
            .setLabels(getOrDefault(labels))
            .setWorkers((Integer) getOrDefault(workers))
            .setTimeout(getOrDefault(timeout));
    return model.setParent(this);
  }

  private WriteOptions options(SparkSession spark) {
    if (getOrDefault(spec).isEmpty()) {
      throw new TfdException("this TfdEstimator has no spec: setSpec(FILE) names one");
    }
    String id = getOrDefault(job);
    Map<String, String> options = new HashMap<>();
    options.put("job", id.isEmpty() ? "spark-" + UUID.randomUUID().toString().substring(0, 8) : id);
    options.put("dataset", getOrDefault(dataset));
    options.put("timeout", getOrDefault(timeout));
    return SessionOptions.with(spark, getOrDefault(coordinator), options);
  }

  private void submit(WriteOptions options) {
    List<String> more = new ArrayList<>();
    for (String override : getOrDefault(overrides)) {
      more.addAll(List.of("--set", override));
    }
    if ((Boolean) getOrDefault(overwrite)) {
      more.add("--overwrite");
    }
    Program.submit(options.coordinator, getOrDefault(spec), options.job, more);
  }

  private static void feed(
      WriteOptions options, Dataset<?> rows, List<String> features, String label) {
    List<String> wanted = new ArrayList<>(features);
    wanted.add(label);
    List<String> there = Arrays.asList(rows.columns());
    List<String> missing = new ArrayList<>(wanted);
    missing.removeAll(there);
    try {
      if (!missing.isEmpty()) {
        throw new TfdException(
            "the DataFrame has no column \""
                + String.join("\", \"", missing)
                + "\", which the spec names under data."
                + options.dataset
                + ".columns; it has "
                + String.join(", ", there));
      }
      Column[] columns = wanted.stream().map(rows::col).toArray(Column[]::new);
      rows.select(columns)
          .write()
          .format(TfdDataSource.NAME)
          .options(options.toMap())
          .mode("append")
          .save();
    } catch (Exception e) { // SparkException is no RuntimeException, and not declared
      cancel(options);
      throw e;
    }
  }

  private static JobView await(WriteOptions options, Duration deadline) {
    Patience patience = new Patience(deadline);
    long pauseMs = FIRST_PAUSE_MS;
    String said = "";
    while (true) {
      JobView job = JobView.of(options.coordinator, options.job);
      if (job.hasSucceeded()) {
        return job;
      } else if (job.hasEnded()) {
        throw new TfdException(
            "job " + options.job + " has not succeeded, it is " + job.state() + ": " + job.cause());
      } else if (patience.isOver()) {
        throw new TfdException(
            "job "
                + options.job
                + " has not ended in "
                + patience
                + ": it is "
                + job.progress()
                + "; it goes on, `tfd job "
                + options.job
                + "` shows it, and setDeadline waits for longer");
      }
      if (!job.progress().equals(said)) {
        said = job.progress();
        LOG.info("job {}: {}", options.job, said);
      }
      try {
        Patience.pause(pauseMs);
      } catch (TfdException e) {
        cancel(options); // Whoever wanted the model has interrupted this.
        throw e;
      }
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }

  private static void cancel(WriteOptions options) {
    try {
      Program.cancel(options.coordinator, options.job);
    } catch (TfdException e) {
      // Why it is cancelled is what is thrown; this is less than that.
      LOG.warn("cancelling job {}: {}", options.job, e.getMessage());
    }
  }

  @Override
  public StructType transformSchema(StructType schema) {
    return Transform.add(
        schema,
        Answers.type((Integer) getOrDefault(topK), !getOrDefault(labels).isEmpty()),
        getOrDefault(outputPrefix));
  }

  @Override
  public TfdEstimator copy(ParamMap extra) {
    return defaultCopy(extra);
  }

  /** As Spark wants it of what can be read. */
  public static MLReader<TfdEstimator> read() {
    return new DefaultParamsReader<>();
  }

  public static TfdEstimator load(String path) {
    return read().load(path);
  }
}
