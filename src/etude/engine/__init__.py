"""The engine: runs methods, sets them side by side, checks claims. It knows tasks and knows no method."""
