"""What does a `config.json` mean where it is silent? The defaults of an architecture's own configuration class.

A model's file leaves out what equals the default of its class in the library `transformers`, so a field that is missing
there has a value all the same. Only defaults that published files rely on are here, as read in the library; any other
field that is missing is missing.
"""

from collections.abc import Mapping
from typing import Any

TIED: Mapping[str, Any] = {"tie_word_embeddings": True}
"""The library ties embedding and output unless a class or a file says otherwise; these classes do not."""
GEMMA_3: Mapping[str, Any] = {  # configuration_gemma3.py, Gemma3TextConfig; the files of 4b and 12b rely on it
    **TIED,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
    "vocab_size": 262_208,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(
        ("BloomForCausalLM", "GPT2LMHeadModel", "GemmaForCausalLM", "Gemma2ForCausalLM", "OPTForCausalLM"), TIED
    ),
    **dict.fromkeys(("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"), GEMMA_3),
}


def defaults_of(architecture: str) -> Mapping[str, Any]:
    return DEFAULTS.get(architecture, {})
