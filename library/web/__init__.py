"""Downloads by URLs that a caller or a document gives: `urls.check_url`, `guard.Guard`, `download.download`."""
