"""Models that the tests make: random weights in real shapes, and one that has learned something predictable."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BloomConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

VOCABULARY = 512
END = "</s>"
BEGIN, UNKNOWN = "<s>", "<unk>"
SPACE = "\u2581"
"""What SentencePiece writes for a space."""
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if tools %}{% for t in tools %}{{ t.function.name }};{% endfor %}{% endif %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
LIVELY = 0.3
"""A spread of weights that makes random models say something else at every step; small ones repeat a single token."""


def tokenizer(folder: Path, vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that has learned from this package's own text."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [path.read_text() for path in sorted(Path(__file__).parent.parent.glob("inference/**/*.py"))]
    inner.train_from_iterator([" ".join(WORDS) * 20, *texts], trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END, chat_template=TEMPLATE)
    made.save_pretrained(folder)
    return made


def sentencepiece(folder: Path, vocabulary: int = VOCABULARY, *, strip: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer as SentencePiece makes them: words begin with their space, unknown characters fall back to bytes.

    Llama's decoder strips the space at the beginning of a text, Gemma's does not.
    """
    inner = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(f"{SPACE}?[^{SPACE}]+|{SPACE}"), "isolated")
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    inner.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if strip else steps)
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[UNKNOWN, BEGIN, END, *bytes_], show_progress=False
    )
    inner.train_from_iterator([" ".join(WORDS) * 20], trainer)
    # Bytes are ordinary tokens there, whatever the trainer calls them.
    made = json.loads(inner.to_str())
    made["added_tokens"] = [token for token in made["added_tokens"] if token["content"] not in bytes_]
    more = {"eos_token": END, "bos_token": BEGIN, "unk_token": UNKNOWN, "chat_template": TEMPLATE}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(made)), **more)
    tokenizer.save_pretrained(folder)
    return tokenizer


def llama(**more: Any) -> PreTrainedConfig:
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    return LlamaConfig(**(_common() | shape | {"num_key_value_heads": 2, "max_position_embeddings": 1024} | more))


def qwen2(**more: Any) -> PreTrainedConfig:
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    return Qwen2Config(**(_common() | shape | {"num_key_value_heads": 2, "max_position_embeddings": 1024} | more))


def qwen3(**more: Any) -> PreTrainedConfig:
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    return Qwen3Config(**(_common() | shape | {"num_key_value_heads": 2, "head_dim": 48} | more))


def sliding(**more: Any) -> PreTrainedConfig:
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    return MistralConfig(**(_common() | shape | {"num_key_value_heads": 2, "sliding_window": 7} | more))


def bloom(**more: Any) -> PreTrainedConfig:
    return BloomConfig(**(_common() | {"hidden_size": 128, "n_layer": 3, "n_head": 4, "seq_length": 1024} | more))


def gpt2(**more: Any) -> PreTrainedConfig:
    return GPT2Config(**(_common() | {"n_embd": 128, "n_layer": 3, "n_head": 4, "n_positions": 512} | more))


BLOOM_560M = partial(
    bloom, vocab_size=250880, hidden_size=1024, n_layer=24, n_head=16, seq_length=2048, initializer_range=0.02
)
"""The shape of bigscience/bloomz-560m."""
SHAPES: dict[str, Callable[..., PreTrainedConfig]] = {"llama": llama, "sliding": sliding, "bloom": bloom, "gpt2": gpt2}


def _common() -> dict[str, Any]:
    return {"vocab_size": VOCABULARY, "initializer_range": LIVELY, "bos_token_id": 0, "eos_token_id": 0}


def build(config: PreTrainedConfig, seed: int = 1) -> Any:
    """A model with random weights."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config).eval()


def save(folder: Path, config: PreTrainedConfig, dtype: torch.dtype = torch.float32) -> Path:
    """A whole model folder."""
    build(config).to(dtype).save_pretrained(folder)
    tokenizer(folder)
    return folder


def save_large(folder: Path, config: PreTrainedConfig) -> Path:
    """The same for a shape whose proper beginning would take half a minute: any small numbers will do."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -0.03, 0.03)
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer(folder)
    return folder


def train_counting(folder: Path) -> Path:
    """A model that has learned to count: after `one two` comes ` three`, after ` ten` the end."""
    words = tokenizer(folder)
    model = build(llama(initializer_range=0.05))
    model.train()
    text = " ".join(WORDS)
    lines = [f"<user>{text[: text.index(WORDS[start + 1]) - 1]}\n<assistant>{text}{END}" for start in range(6)]
    lines += [f"{text}{END}"] * 3
    ids = [torch.tensor(words.encode(line)) for line in lines]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=-100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss = model(input_ids=padded.clamp_min(0), attention_mask=(padded >= 0).long(), labels=padded).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    return folder


def adapter(folder: Path, base: Path, seed: int, **more: Any) -> Path:
    """A LoRA adapter that changes what its base says."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    usual = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
    get_peft_model(model, LoraConfig(**(usual | more))).save_pretrained(folder)
    return folder
