"""What differs between kinds of domains: originals, prompts to the generator, checks of its texts, training pairs."""
