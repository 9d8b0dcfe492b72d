"""Activities: classes with injected dependencies, thin over the library."""
