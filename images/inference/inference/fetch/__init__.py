"""`fetch-weights`: puts a model into a folder before the server starts.

A source says which files there are and where; the downloader brings them; the folder appears only when it is whole.
"""
