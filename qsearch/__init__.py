"""QSearch: which quantization should each layer of a model get, on the machines it runs on?"""

__version__ = "0.1.0"
