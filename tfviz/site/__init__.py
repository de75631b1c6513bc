"""The site of an atlas: pages to browse the units of a network."""
