"""Train many runs of one network at once: their weights in common arrays, each step computed for all of them."""
