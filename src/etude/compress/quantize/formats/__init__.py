"""Files of quantised weights that other tools load."""
