"""What developing needs beside the product: one folder with a `go.mod` per group of Go tools, and their builder."""
