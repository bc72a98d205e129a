"""One page about a trained model, for a reader who did not train it: a section is a function that gives figures."""
