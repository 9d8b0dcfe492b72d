"""Kafka: reading bounded batches from known offsets, sending records durably. Knows no consumer groups."""
