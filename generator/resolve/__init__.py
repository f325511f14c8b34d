"""From what people wrote to placements: every decision is taken here, and every broken reference is said."""

from generator.resolve.catalog import Resolution, resolve

__all__ = ["Resolution", "resolve"]
