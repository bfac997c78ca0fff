"""The messages and services of proto/tfd/v1, generated when the wheel is built."""
