"""The data sets of a recipe, opened and mixed."""

from pathlib import Path

from model.data.crops import ObjectCrops
from model.data.mixing import Ingredient, MixedDataset
from model.data.opening import detect_kind, open_training_source
from model.data.sampling import GapSchedule
from model.data.synthetic.video import SyntheticVideo
from model.data.transforms import AugmentConfig
from model.errors import InputError
from model.training.config import TrainConfig


def open_data(config: TrainConfig) -> MixedDataset:
    """Open the data sets of a recipe and mix them over the positions of the training.

    Raises:
        InputError: If a folder is missing or has nothing usable.
    """
    samples, data = config.samples, config.data
    if config.stage == "prompt":
        return _object_crops(config)
    ingredients = []
    if data.photos or data.objects or not data.sets:
        synthetic = SyntheticVideo(
            (samples.crop, samples.crop),
            frame_count=samples.frames,
            clip_length=samples.clip_length,
            max_objects=samples.max_objects,
            photos=[Path(text) for text in data.photos],
            objects=[Path(text) for text in data.objects],
            config=config.scenes,
        )
        share = data.synthetic_share if data.sets else None
        ingredients.append(Ingredient(synthetic, probability=share))
    for folder, weight in data.weighted_sets:
        root = Path(folder)
        kind = detect_kind(root)
        if config.stage == "image" and kind in ("davis", "youtube-vos"):
            raise InputError(
                f"{root}: videos, but stage image trains on stills", hint="use --stage video"
            )
        source = open_training_source(
            root,
            size=(samples.crop, samples.crop),
            frame_count=samples.frames,
            clip_length=samples.clip_length,
            max_objects=samples.max_objects,
            augment=AugmentConfig(crop_area=samples.crop_area, zoom=samples.zoom),
        )
        ingredients.append(Ingredient(source, weight=weight))
    gaps = GapSchedule(
        total=config.steps * config.batch,
        base=samples.gap_base,
        peak=samples.gap_peak,
        rise_end=samples.gap_rise_end,
        fall_start=samples.gap_fall_start,
        fall_end=samples.gap_fall_end,
    )
    return MixedDataset(
        ingredients,
        seed=config.seed,
        length=gaps.total,
        max_gap=gaps,
    )


def _object_crops(config: TrainConfig) -> MixedDataset:
    """Open stills and videos for stage ``prompt``; a frame of a video counts as a still."""
    size = (config.samples.crop, config.samples.crop)
    if not config.data.sets:
        raise InputError("stage prompt has no data", hint="give --data FOLDER")
    crops = [
        Ingredient(ObjectCrops(Path(folder), size), weight=weight)
        for folder, weight in config.data.weighted_sets
    ]
    return MixedDataset(crops, seed=config.seed, length=config.steps * config.batch)
