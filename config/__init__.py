"""Settings and logging. Every other package may import this one; it imports none of them."""
