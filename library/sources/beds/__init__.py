"""The KH03 return of beds."""
