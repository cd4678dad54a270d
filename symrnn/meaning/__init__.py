"""What cells, scalar expressions and statements mean in numbers: what everything generated is compared with."""
