"""The edge: a gateway whose frames come from another gateway, its upstream."""
