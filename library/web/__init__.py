"""Safe downloads of URLs from callers and documents: `urls.check_url`, `guard.Guard`, `download.download`."""
