"""Cell → Step → derivation: the statements of a step, and the rules by which they are differentiated."""
