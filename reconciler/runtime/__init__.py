"""The only reusable machinery: a watch that is never silently stale, a queue by key, a lease that ends with the process."""
