"""Routes that serve every source. The routes of a source are in its room."""
