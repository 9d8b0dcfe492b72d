"""Routes that serve every source; a source's own lie in its room."""
