"""The shipped weights: installed as the package ``pcvos_weights``, so that a wheel carries them."""
