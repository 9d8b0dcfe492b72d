"""Health records: from the bytes of a Kafka record, or of a request, to a typed row."""
