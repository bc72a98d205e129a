"""Compression: trained models as codecs of whole numbers, their files, and the files they write."""
