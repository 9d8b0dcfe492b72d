"""Others who talk to Wardflow, played."""
