"""The policies: what they let in and refuse, here and in a real API server."""
