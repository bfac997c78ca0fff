"""A Spark driver that does what it is told: one JSON object a line in, one out.
Run by the Python of a Spark environment (scripts/connectors makes them).

    in   {"session": {CONF: VALUE}}                                first
         {"parquet": PATH, "options": {…}, "select": [SQL…], "limit": N,
          "partitions": N, "trouble": NAME, "folder": PATH,
          "vectors": BOOL, "keep": N}
         {"do": NAME, …}: see ORDERS
    out  {"pid": of the JVM, …}, or {"error": the exception's text}

With partitions there is a shuffle before the write; with keep the rows are first
read into so many partitions in the executors' memory, once. A trouble is something that happens to the tasks; see the functions below.
"""

import json
import os
import pathlib
import sys
import time

import spark_ml
from pyspark import TaskContext
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
from pyspark.sql.types import IntegerType

WAIT_SECONDS = 60


def fail_first(context, folder):
    """The first attempt of each task fails half way."""
    if context.attemptNumber() == 0:
        raise RuntimeError("the first attempt fails")


def fail_always(context, folder):
    raise RuntimeError("every attempt fails")


def straggle(context, folder):
    """The first attempt of the last task hangs, for Spark to start another."""
    if context.attemptNumber() == 0 and context.partitionId() == 3:
        wait_for_file(pathlib.Path(folder) / "go")


def hold(context, folder):
    """First attempts say where they run, and wait to be let go."""
    if context.attemptNumber() == 0:
        me = f"held-{context.partitionId()}-{os.getppid()}"
        (pathlib.Path(folder) / me).touch()
        wait_for_file(pathlib.Path(folder) / "go")


def wait_for_file(path):
    deadline = time.monotonic() + WAIT_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {WAIT_SECONDS} s for {path}")
        time.sleep(0.02)


def troubled(name, folder):
    """A function of the label that gives it unchanged, and has the trouble of this
    name after some rows of a task."""
    trouble = {
        "fail_first": fail_first,
        "fail_always": fail_always,
        "straggle": straggle,
        "hold": hold,
    }[name]
    seen = {}

    def give(label):
        context = TaskContext.get()
        task = context.taskAttemptId()
        seen[task] = seen.get(task, 0) + 1
        if seen[task] == 500:
            trouble(context, folder)
        return label

    return udf(give, IntegerType()).asNondeterministic()


def written_bytes(pid):
    """That a process has handed to the kernel, to files and connections."""
    text = pathlib.Path(f"/proc/{pid}/io").read_text()
    return int(text.split("wchar: ")[1].split()[0])


def attempts(spark):
    """Of the newest job: tasks that failed, and the highest number of a stage's
    attempts."""
    tracker = spark.sparkContext.statusTracker()
    job = tracker.getJobInfo(max(tracker.getJobIdsForGroup()))
    stages = [tracker.getStageInfo(stage) for stage in job.stageIds]
    stages = [stage for stage in stages if stage is not None]
    return {
        "failed_tasks": sum(stage.numFailedTasks for stage in stages),
        "stage_attempts": 1 + max(stage.currentAttemptId for stage in stages),
    }


def kept(frame, partitions):
    """The frame in the memory of the executors, in so many partitions."""
    frame = frame.repartition(partitions).cache()
    frame.count()
    return frame


def with_vectors(spark, frame):
    """The column image, an array, as Spark ML's vectors: dense, and as what
    VectorAssembler gives, which is sparse where that is shorter."""
    ml = spark._jvm.org.apache.spark.ml
    dense = ml.functions.array_to_vector(frame["image"]._jc)
    frame = frame.withColumn("dense", type(frame["image"])(dense)).drop("image")
    columns = spark.sparkContext._gateway.new_array(spark._jvm.java.lang.String, 1)
    columns[0] = "dense"
    assembler = ml.feature.VectorAssembler().setInputCols(columns)
    made = assembler.setOutputCol("image").transform(frame._jdf)
    return type(frame)(made, spark)


def write(spark, pid, order, frames={}):
    frame = spark.read.parquet(order["parquet"])
    if order.get("keep"):
        if order["parquet"] not in frames:
            frames[order["parquet"]] = kept(frame, order["keep"])
        frame = frames[order["parquet"]]
    if order.get("vectors"):
        frame = with_vectors(spark, frame)
    if order.get("select"):
        frame = frame.selectExpr(*order["select"])
    if order.get("limit"):
        frame = frame.where(f"id < {order['limit']}")
    if order.get("partitions"):
        frame = frame.repartition(order["partitions"], "id")
    if order.get("trouble"):
        label = troubled(order["trouble"], order.get("folder"))
        frame = frame.withColumn("label", label("label"))
    before = written_bytes(pid)
    begin = time.monotonic()
    frame.write.format("tfd").options(**order["options"]).mode("append").save()
    return {
        "seconds": time.monotonic() - begin,
        "driver_bytes": written_bytes(pid) - before,
        **attempts(spark),
    }


def stream(spark, order):
    """A query that writes the Parquet files of a folder, one in each batch, until
    there is no more; it goes on from its checkpoint where there is one."""
    schema = spark.read.parquet(order["parquet"]).schema
    source = spark.readStream.schema(schema).option("maxFilesPerTrigger", 1)
    writer = source.parquet(order["parquet"]).writeStream.format("tfd")
    writer = writer.options(**order["options"]).trigger(availableNow=True)
    query = writer.option("checkpointLocation", order["checkpoint"]).start()
    if not query.awaitTermination(WAIT_SECONDS):
        query.stop()
        raise RuntimeError(f"the query was not through after {WAIT_SECONDS} s")
    batches = [progress["batchId"] for progress in query.recentProgress]
    return {"batches": batches}


def main():
    # Spark's own output goes to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    builder = SparkSession.builder
    for name, value in json.loads(sys.stdin.readline())["session"].items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    pid = spark._jvm.java.lang.ProcessHandle.current().pid()
    answer = {"pid": pid, "version": spark.version}
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line:
            break
        try:
            order = json.loads(line)
            if "do" in order:
                before = written_bytes(pid)
                answer = ORDERS[order["do"]](spark, order)
                answer["driver_bytes"] = written_bytes(pid) - before
            else:
                answer = write(spark, pid, order)
        except Exception as error:  # whatever a user would see
            answer = {"error": str(error)}
    spark.stop()


ORDERS = {**spark_ml.ORDERS, "stream": stream}


if __name__ == "__main__":
    main()
