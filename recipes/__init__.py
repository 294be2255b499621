"""The built-in recipes: installed as the package ``pcvos_recipes``, so that a wheel carries them."""
