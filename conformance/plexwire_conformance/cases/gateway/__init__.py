"""What is asked of a gateway: one module per area."""
