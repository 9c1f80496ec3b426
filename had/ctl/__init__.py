"""`hadctl`, the operator's tool."""
