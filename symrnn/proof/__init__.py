"""Generated modules run beside the equations."""
