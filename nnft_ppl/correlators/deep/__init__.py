"""Deep fully connected networks, by recursion in the layers."""
