"""Plans drone flights for the inspection of a dike section."""
