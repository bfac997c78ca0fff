"""What TensorFlowOnSpark trains in bench/spark_mnist.py: the cnn that tfd brings along,
fed from an RDD (InputMode.SPARK) to two workers with MultiWorkerMirroredStrategy, as
its own example for MNIST does. The chief says how right the model is about the test
images.

usage: spark-submit tfos_mnist.py PARQUET EPOCHS RESULT
"""

import os
import sys

BATCH = 64
WORKERS = 2
ROWS = 60_000
# Workers are fed unevenly and must take the same number of steps: its example leaves
# a tenth of the rows out.
SHARE = 0.9


def train(args, ctx):
    import json

    import numpy
    import tensorflow as tf
    from tensorflowonspark import TFNode

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    feed = TFNode.DataFeed(ctx.mgr, train_mode=True)

    def rows():
        while not feed.should_stop():
            for image, label in feed.next_batch(BATCH):
                pixels = numpy.frombuffer(image, numpy.uint8).reshape(28, 28, 1)
                yield pixels.astype(numpy.float32) / 255, label

    types = (
        tf.TensorSpec((28, 28, 1), tf.float32),
        tf.TensorSpec((), tf.int64),
    )
    data = tf.data.Dataset.from_generator(rows, output_signature=types).batch(BATCH)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    data = data.with_options(options)
    with strategy.scope():
        layers = tf.keras.layers
        parts = []
        for channels in (8, 16):
            parts.append(layers.Conv2D(channels, 3, padding="same"))
            parts += [layers.MaxPool2D(), layers.ReLU()]
        parts += [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10)]
        model = tf.keras.Sequential([tf.keras.Input((28, 28, 1)), *parts])
        model.compile(
            optimizer=tf.keras.optimizers.Adam(1e-3),
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    steps = int(ROWS * args["epochs"] * SHARE / BATCH / WORKERS)
    distributed = strategy.distribute_datasets_from_function(lambda context: data)
    model.fit(distributed, epochs=1, steps_per_epoch=steps, verbose=0)
    if ctx.task_index == 0:
        folder = args["mnist"]
        with open(os.path.join(folder, "t10k-images-idx3-ubyte"), "rb") as file:
            images = numpy.frombuffer(file.read(), numpy.uint8, offset=16)
        with open(os.path.join(folder, "t10k-labels-idx1-ubyte"), "rb") as file:
            labels = numpy.frombuffer(file.read(), numpy.uint8, offset=8)
        images = images.reshape(-1, 28, 28, 1).astype(numpy.float32) / 255
        weights = model.get_weights()
        alone = tf.keras.Sequential([tf.keras.Input((28, 28, 1))] + [
            layer.__class__.from_config(layer.get_config()) for layer in model.layers
        ])
        alone.set_weights(weights)
        right = 0
        for begin in range(0, len(images), 1000):
            logits = alone(images[begin : begin + 1000]).numpy()
            right += int((logits.argmax(1) == labels[begin : begin + 1000]).sum())
        alone.save(args["result"] + ".keras")
        with open(args["result"] + ".tmp", "w") as file:
            json.dump({"accuracy": right / len(images)}, file)
        os.rename(args["result"] + ".tmp", args["result"])
    feed.terminate()


def main():
    from pyspark.sql import SparkSession
    from tensorflowonspark import TFCluster

    parquet, epochs, result = sys.argv[1:]
    spark = SparkSession.builder.getOrCreate()
    args = {"epochs": int(epochs), "result": result}
    args["mnist"] = os.environ["TFD_MNIST_DIR"]
    rows = spark.read.parquet(parquet).select("image", "label").rdd
    rows = rows.map(lambda row: (bytes(row.image), int(row.label)))
    cluster = TFCluster.run(
        spark.sparkContext,
        train,
        args,
        WORKERS,
        num_ps=0,
        input_mode=TFCluster.InputMode.SPARK,
        master_node="chief",
    )
    cluster.train(rows, int(epochs))
    cluster.shutdown(grace_secs=30)
    spark.stop()


if __name__ == "__main__":
    main()
