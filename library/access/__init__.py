"""Access: encryption of payloads, tokens, users, sessions, idempotency keys and the audit."""
