"""Example of classes that ser_lightning uses with `trust=[my_emotions]`."""
