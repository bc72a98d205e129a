"""Anomaly detection: views of a row, each turned into a tail probability, summed, and held to a false-alarm rate."""
