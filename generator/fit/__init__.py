"""Does a model fit on a VM size? Our own verdict beside KAITO's, from figures alone: nothing here reads a file.

`shape` says what a model is, `config` reads a shape from a `config.json`, `memory` counts what one GPU must hold,
`verdict` judges a VM size, `kaito` repeats KAITO's estimate, `tuning` and `host` count LoRA runs and models on CPUs,
`entry` turns an entry of the catalog into a shape and a demand.
Nothing is imported here: rendering needs `kaito` alone, and starts without the rest.
"""
