"""The recipe: calibration, weight quantizers, one file per scheme, and assembling a candidate."""

#: Name and version of what writes prepared folders; a change of any stored bit gets a new number.
QUANTIZER = "qsearch-quantize/1"
