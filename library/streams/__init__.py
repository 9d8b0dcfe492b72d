"""Kafka: reads limited batches from known offsets, and sends records durably. Uses no consumer groups."""
