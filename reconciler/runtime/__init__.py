"""The only reusable machinery: a watch that is never silently stale, a queue by key, and a lease."""
