"""The recipe: calibration, weight quantizers, one file per scheme, and assembling a candidate."""

from qsearch.contracts.choices import QUANTIZER

__all__ = ["QUANTIZER"]
