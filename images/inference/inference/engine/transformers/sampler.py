"""Which token comes next: `generate`'s rules and OpenAI's, for one sequence at a time.

Every sequence with a seed has its own generator, so that it gives the same answer whatever else is in the batch. All
others share one that nobody can set: torch's own belongs to `generate`, whose seed would tell the numbers of others.
"""

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from inference.engine.protocol import Sampling, Token
from inference.engine.transformers.grammar import Grammar
from inference.errors import RequestError

NOTHING = -math.inf


@cache
def _dice(device: torch.device) -> torch.Generator:
    made = torch.Generator(device)
    made.seed()
    return made


class Sampler:
    """Chooses the tokens of one sequence."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int], grammar: Grammar | None = None) -> None:
        self.sampling = sampling
        self.grammar = grammar
        self._prompt = prompt
        self._chosen: list[int] = []
        self._generator: torch.Generator | None = None
        if sampling.seed is not None:
            self._generator = torch.Generator().manual_seed(sampling.seed % 2**63)

    @property
    def plain(self) -> bool:
        """The likeliest token is the answer, and nothing bends the likelihoods: a whole batch needs one `argmax`."""
        wanted = self.sampling
        bent = wanted.repetition_penalty != 1 or wanted.presence_penalty or wanted.frequency_penalty
        held = len(self._chosen) < wanted.min_tokens or wanted.logit_bias or self.grammar
        return wanted.greedy and wanted.logprobs is None and not bent and not held

    def accept(self, token: int) -> None:
        """Remember a token that was chosen for this sequence."""
        self._chosen.append(token)
        if self.grammar:
            self.grammar.accept(token)

    def choose(self, logits: Tensor) -> Token:
        """The next token from the logits at the end of the sequence (one dimension, in float32)."""
        bent = self.bend(logits.clone())
        if not torch.isfinite(bent.max()):
            raise RequestError("the model's answer is no number, so no token can be chosen", status=500)
        token = int(bent.argmax()) if self.sampling.greedy else self._draw(bent)
        self.accept(token)
        return self._report(token, logits)

    def bend(self, logits: Tensor) -> Tensor:
        """In vLLM's order: a bias is penalized with the token that it is for."""
        wanted = self.sampling
        for token, bias in wanted.logit_bias.items():
            logits[token] += bias
        if wanted.repetition_penalty != 1:
            seen = torch.tensor(sorted({*self._prompt, *self._chosen}), device=logits.device)
            score = logits[seen]
            logits[seen] = torch.where(score < 0, score * wanted.repetition_penalty, score / wanted.repetition_penalty)
        if (wanted.presence_penalty or wanted.frequency_penalty) and self._chosen:
            seen, counts = torch.tensor(self._chosen, device=logits.device).unique(return_counts=True)
            logits[seen] -= wanted.presence_penalty + wanted.frequency_penalty * counts
        over = self.grammar is not None and self.grammar.over
        if len(self._chosen) < wanted.min_tokens and wanted.stop_tokens and not over:
            logits[[token for token in wanted.stop_tokens if token < len(logits)]] = NOTHING
        return self.grammar.mask(logits) if self.grammar else logits

    def _draw(self, logits: Tensor) -> int:
        """One token by chance."""
        probabilities, tokens = self.distribution(logits)
        if self._generator is not None:
            probabilities = probabilities.cpu()
        dice = self._generator or _dice(probabilities.device)
        place = torch.multinomial(probabilities, 1, generator=dice)
        return int(place) if tokens is None else int(tokens[place.to(tokens.device)])

    def distribution(self, logits: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the limits leave, in parts of no certain sum; and whose parts these are, where not every token's."""
        wanted = self.sampling
        scores, tokens = logits / wanted.temperature, None
        if 0 < wanted.top_k < scores.shape[-1]:
            scores, tokens = scores.topk(wanted.top_k)
        elif wanted.top_p < 1 or wanted.typical_p < 1:
            scores, tokens = scores.sort(descending=True)
        return self._narrow(scores.softmax(-1)), tokens

    def _narrow(self, probabilities: Tensor) -> Tensor:
        """Nucleus, minimal and typical probability, in `generate`'s order; they fall where the first is asked for."""
        wanted = self.sampling
        if wanted.top_p < 1:
            before = probabilities.cumsum(-1) - probabilities
            probabilities = probabilities.where(before < max(wanted.top_p, 1e-9), 0.0)
        if wanted.min_p > 0:
            probabilities = probabilities.where(probabilities >= wanted.min_p * probabilities.max(), 0.0)
        if wanted.typical_p < 1:
            probabilities = _typical(probabilities / probabilities.sum(), wanted.typical_p)
        return probabilities

    def _report(self, token: int, logits: Tensor) -> Token:
        return describe(token, logits, self.sampling.logprobs)


def _typical(probabilities: Tensor, mass: float) -> Tensor:
    """Keep the tokens whose surprise is nearest to the expected one, until they hold `mass`."""
    surprise = -probabilities.clamp_min(1e-20).log()
    expected = (probabilities * surprise).sum()
    order = (surprise - expected).abs().argsort()
    sorted_mass = probabilities[order].cumsum(-1) - probabilities[order]
    keep = torch.zeros_like(probabilities, dtype=torch.bool)
    keep[order] = sorted_mass < max(mass, 1e-9)
    return probabilities.where(keep, 0.0)


def describe(token: int, logits: Tensor, count: int | None) -> Token:
    """The token with its log probability under the model itself, and the `count` likeliest at its place."""
    if count is None:
        return Token(token)
    logprobs = logits.log_softmax(-1)
    values, tokens = logprobs.topk(min(count, logprobs.shape[-1])) if count else (logprobs[:0], logprobs[:0].long())
    top = tuple(zip(tokens.tolist(), values.tolist(), strict=True))
    return Token(token, float(logprobs[token]), top)
