"""The chapters and the site as a reader's browser shows them."""
