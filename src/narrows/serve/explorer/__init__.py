"""The page on which a person moves through the codes of a model: what it is made of, and what it asks the server."""
