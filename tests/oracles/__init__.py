"""Hand-written forward steps, one a gallery cell, that import nothing of symrnn."""
