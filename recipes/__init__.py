"""The built-in recipes: a wheel carries them as the package ``pcvos_recipes``."""
