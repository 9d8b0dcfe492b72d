"""What the service knows, free of Temporal and of FastAPI."""
