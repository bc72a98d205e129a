"""Autoencoders put to work: compress, denoise, detect anomalies, generate, embed and fill gaps."""

__version__ = "0.1.0"
