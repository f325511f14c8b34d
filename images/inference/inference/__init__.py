"""An inference server that speaks KAITO's contract and OpenAI's, and the fetcher of its weights."""
