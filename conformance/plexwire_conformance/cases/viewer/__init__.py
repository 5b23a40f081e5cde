"""What is asked of a viewer: one module per area."""
