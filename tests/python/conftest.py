"""Fixtures for tests with stock Flight clients."""

import os

import pytest

from feed_process import Feed
from image_tables import mnist_table, random_images


@pytest.fixture
def start_feed(tmp_path):
    """Starts a feed with the options given; ended after the test."""
    feeds = []

    def start(**options):
        feeds.append(Feed(tmp_path, **options))
        return feeds[-1]

    yield start
    for feed in feeds:
        feed.close()


@pytest.fixture
def feed(start_feed):
    return start_feed()


@pytest.fixture(scope="session")
def mnist():
    """The 60,000 training images; without TFD_MNIST_DIR, random ones of the same
    shape."""
    folder = os.environ.get("TFD_MNIST_DIR")
    return mnist_table(folder) if folder else random_images(60_000, 784)
