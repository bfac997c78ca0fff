"""Images/s of TensorFlow's ParameterServerStrategy on MNIST: one parameter server and
two workers, one thread each, and a coordinator; the cnn or the mlp that tfd brings
along. The strategy is asynchronous: no worker waits for the other.

usage: tf_ps_train.py [--steps=N] cnn|mlp

Prints {"model", "images_per_s"}. Batch 64 in each worker, Adam; data in each worker's
memory; a step runs as a tf.function; the first steps do not count.
"""

import argparse
import json
import multiprocessing
import os
import socket
import sys
import time

WORKERS = 2
BATCH = 64
WARM_UP_STEPS = 50


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def tensorflow():
    """Imported in each process: it must not be forked with its threads."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    return tf


def serve(cluster, role, index):
    tf = tensorflow()
    server = tf.distribute.Server(
        tf.train.ClusterSpec(cluster), job_name=role, task_index=index, protocol="grpc"
    )
    server.join()


def make_model(tf, name):
    layers = tf.keras.layers
    if name == "mlp":
        parts = [layers.Flatten(), layers.Dense(512, "relu"), layers.Dense(10)]
    else:
        parts = []
        for channels in (8, 16):
            parts.append(layers.Conv2D(channels, 3, padding="same"))
            parts.append(layers.MaxPool2D())
            parts.append(layers.ReLU())
        parts += [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10)]
    return tf.keras.Sequential([tf.keras.Input((28, 28, 1)), *parts])


def train(cluster, name, steps):
    tf = tensorflow()
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), rpc_layer="grpc"
    )
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():
        model = make_model(tf, name)
        optimizer = tf.keras.optimizers.Adam(1e-3)
        optimizer.build(model.trainable_variables)
    loss_of = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def dataset():
        import mnist

        images, labels = mnist.load()
        source = tf.data.Dataset.from_tensor_slices((images[..., None], labels))
        source = source.shuffle(10_000).repeat().batch(BATCH)
        source = source.map(lambda x, y: (tf.cast(x, tf.float32) / 255, y))
        return source.prefetch(2)

    @tf.function
    def step(iterator):
        def replica(batch):
            images, labels = batch
            with tf.GradientTape() as tape:
                loss = loss_of(labels, model(images, training=True))
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables))

        strategy.run(replica, args=(next(iterator),))

    def run(count):
        for _ in range(count):
            coordinator.schedule(step, args=(iterator,))
        coordinator.join()

    iterator = iter(coordinator.create_per_worker_dataset(dataset))
    run(WARM_UP_STEPS * WORKERS)
    begin = time.perf_counter()
    run(steps * WORKERS)
    seconds = time.perf_counter() - begin
    line = {"model": name, "images_per_s": round(steps * WORKERS * BATCH / seconds)}
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000, help="of each worker")
    parser.add_argument("model", choices=("cnn", "mlp"))
    args = parser.parse_args()
    addresses = [f"127.0.0.1:{port}" for port in free_ports(WORKERS + 1)]
    cluster = {"worker": addresses[:WORKERS], "ps": addresses[WORKERS:]}
    context = multiprocessing.get_context("spawn")
    tasks = [("ps", 0)] + [("worker", index) for index in range(WORKERS)]
    servers = [
        context.Process(target=serve, args=(cluster, role, index), daemon=True)
        for role, index in tasks
    ]
    for server in servers:
        server.start()
    # The cluster's threads do not end by themselves.
    status = 0
    try:
        train(cluster, args.model, args.steps)
    except Exception as error:  # pylint: disable=broad-except
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        status = 1
    for server in servers:
        server.kill()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
