"""Draw the demo set: pictures of five kinds of flowers, for a machine that cannot fetch the photos.

    python demo_flowers.py FOLDER        # FOLDER/daisy/daisy_000.jpg ...

Colour alone does not tell the classes apart: daisies, roses and tulips are all drawn in pink, two
of them in white and two in red, and sunflowers and dandelions in the same yellows. A net has to
learn shapes: how many petals, how wide they are, how large the centre is, and whether the flower is
a disc, a whorl or a cup.
"""

import argparse
import contextlib
import math
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

Color = tuple[int, int, int]
Point = tuple[float, float]

WHITE = (244, 243, 238)
CREAM = (248, 232, 180)
YELLOW = (250, 210, 30)
GOLD = (240, 165, 15)
PINK = (232, 110, 160)
RED = (196, 24, 44)
PURPLE = (128, 52, 150)
BROWN = (82, 48, 22)
GREEN = (70, 118, 44)

DARK_GREEN = (44, 78, 34)
PALE_GREEN = (120, 148, 90)
SKY = (150, 180, 214)
EARTH = (96, 82, 62)
SHADOW = (30, 34, 28)
STONE = (190, 190, 180)
GARDENS = (GREEN, DARK_GREEN, PALE_GREEN, SKY, EARTH, SHADOW, STONE)


def vary(rng: random.Random, color: Color, amount: int = 22) -> Color:
    """A colour near `color`: lighter or darker as a whole, and a little in each channel."""
    light = rng.randint(-amount, amount)
    red, green, blue = (min(255, max(0, c + light + rng.randint(-8, 8))) for c in color)
    return red, green, blue


def shade(color: Color, factor: float) -> Color:
    """`color` made darker (factor below 1) or lighter (above 1)."""
    red, green, blue = (min(255, int(c * factor)) for c in color)
    return red, green, blue


class Flower:
    """One flower's place on the picture: centre, radius in pixels, turn, and tilt."""

    def __init__(self, draw: ImageDraw.ImageDraw, rng: random.Random, center: Point, radius: float):
        self.draw = draw
        self.rng = rng
        self.center = center
        self.radius = radius
        self.turn = rng.uniform(0, 2 * math.pi)
        self.tilt = rng.uniform(0.65, 1.0)  # away from the viewer: 1.0 is seen from the front

    def at(self, distance: float, angle: float) -> Point:
        """The pixel at `distance` radii from the centre, in direction `angle`."""
        x = distance * self.radius * math.cos(angle + self.turn)
        y = distance * self.radius * math.sin(angle + self.turn) * self.tilt
        return self.center[0] + x, self.center[1] + y

    def petal(
        self,
        angle: float,
        start: float,
        end: float,
        width: float,
        color: Color,
        pointed: bool = False,
    ) -> None:
        """One petal from `start` to `end` (in radii); `width` is half its angle where widest."""
        outline = []
        for step in range(7):
            share = step / 6
            # a round petal is widest towards its tip, a pointed one in its middle
            if pointed:
                bulge = math.sin(math.pi * share)
            else:
                bulge = math.sin(math.pi * share**1.6) ** 0.7
            outline.append((start + (end - start) * share, width * bulge))
        points = [self.at(distance, angle + half) for distance, half in outline]
        points += [self.at(distance, angle - half) for distance, half in reversed(outline)]
        self.draw.polygon(points, fill=color)

    def ring(
        self,
        count: int,
        start: float,
        end: float,
        width: float,
        color: Color,
        pointed: bool = False,
    ) -> None:
        """`count` petals around the centre, each a little different in place, length and colour."""
        offset = self.rng.uniform(0, 2 * math.pi)
        for i in range(count):
            angle = offset + 2 * math.pi * (i + self.rng.uniform(-0.2, 0.2)) / count
            reach = end * self.rng.uniform(0.88, 1.05)
            self.petal(angle, start, reach, width, vary(self.rng, color, 16), pointed)

    def disc(self, radius: float, color: Color, dots: int, dot_color: Color) -> None:
        """The centre of a flower: a disc of `radius` radii with `dots` specks on it."""
        points = [self.at(radius, 2 * math.pi * i / 24) for i in range(24)]
        self.draw.polygon(points, fill=color)
        size = max(1.0, 0.025 * self.radius)
        for _ in range(dots):
            x, y = self.at(radius * math.sqrt(self.rng.random()), self.rng.uniform(0, 2 * math.pi))
            box = (x - size, y - size, x + size, y + size)
            self.draw.ellipse(box, fill=vary(self.rng, dot_color))


def draw_daisy(flower: Flower) -> None:
    """Few or many narrow round petals, gaps between them, a small yellow centre."""
    rng = flower.rng
    color = rng.choice([WHITE, WHITE, WHITE, WHITE, CREAM, PINK])
    count = rng.randint(12, 22)
    flower.ring(count, 0.15, 1.0, 2.2 / count, color)
    flower.disc(rng.uniform(0.2, 0.3), vary(rng, rng.choice([YELLOW, GOLD])), 30, GOLD)


def draw_dandelion(flower: Flower) -> None:
    """A dense tuft of very many thin rays without a centre, or a ball of seeds."""
    rng = flower.rng
    if rng.random() < 0.15:
        draw_seeds(flower)
        return
    color = rng.choice([YELLOW, YELLOW, GOLD])
    for end in (1.0, 0.8, 0.6, 0.4, 0.22):
        flower.ring(rng.randint(34, 46), 0.0, end, 0.045, shade(color, 0.78 + 0.25 * (1 - end)))


def draw_seeds(flower: Flower) -> None:
    """A dandelion's ball of seeds: grey rays that end in small rings."""
    rng = flower.rng
    flower.tilt = 1.0
    color = vary(rng, (214, 214, 208), 12)
    size = max(1.0, 0.06 * flower.radius)
    for _ in range(rng.randint(90, 130)):
        angle = rng.uniform(0, 2 * math.pi)
        reach = rng.uniform(0.5, 1.0)
        x, y = flower.at(reach, angle)
        flower.draw.line((*flower.center, x, y), fill=shade(color, 0.8), width=1)
        flower.draw.ellipse((x - size, y - size, x + size, y + size), outline=color)
    flower.disc(0.12, vary(rng, BROWN), 10, GREEN)


def draw_rose(flower: Flower) -> None:
    """A whorl: broad petals that overlap, each ring smaller and turned against the last."""
    rng = flower.rng
    color = vary(rng, rng.choice([RED, RED, RED, RED, PINK, WHITE]))
    rim_width = max(1, int(0.035 * flower.radius))
    end = 1.0
    turn = 0.0
    while end > 0.12:
        count = 5 if end > 0.5 else 3
        for i in range(count):
            angle = turn + 2 * math.pi * (i + rng.uniform(-0.12, 0.12)) / count
            tone = shade(color, rng.uniform(0.82, 1.0) * (0.72 + 0.28 * end))
            flower.petal(angle, 0.0, end * rng.uniform(0.9, 1.05), 0.72, tone)
            rim = [flower.at(end * 0.93, angle + 0.11 * k) for k in range(-4, 5)]
            flower.draw.line(rim, fill=shade(tone, 0.68), width=rim_width)
        end *= rng.uniform(0.7, 0.78)
        turn += rng.uniform(0.5, 0.8)


def draw_sunflower(flower: Flower) -> None:
    """Two rings of pointed petals around a large centre, dark in most."""
    rng = flower.rng
    color = rng.choice([YELLOW, GOLD, GOLD, CREAM])
    count = rng.randint(16, 24)
    flower.ring(count, 0.3, 1.05, 3.4 / count, shade(color, 0.85), pointed=True)
    flower.ring(count, 0.3, 0.95, 3.0 / count, color, pointed=True)
    radius = rng.uniform(0.4, 0.52)
    center_color = vary(rng, rng.choice([BROWN, BROWN, (120, 90, 30)]))
    flower.disc(radius, center_color, 70, shade(BROWN, 0.6))


def draw_tulip(flower: Flower) -> None:
    """A cup seen from the side: five upright pointed petals, wide at the base."""
    rng = flower.rng
    flower.turn = rng.uniform(-0.25, 0.25)
    flower.tilt = 1.0
    color = vary(rng, rng.choice([PURPLE, PURPLE, PURPLE, PINK, RED]))
    width = rng.uniform(0.55, 0.75)
    spread = rng.uniform(0.35, 0.6)
    # from the back to the front, each with its lean to the side and its brightness
    draw_cup_petal(flower, width, -0.5 * spread, shade(color, 0.7))
    draw_cup_petal(flower, width, 0.5 * spread, shade(color, 0.7))
    draw_cup_petal(flower, width, -spread, shade(color, 0.88))
    draw_cup_petal(flower, width, spread, shade(color, 0.82))
    draw_cup_petal(flower, width, 0.0, shade(color, 1.0))


def draw_cup_petal(flower: Flower, width: float, lean: float, tone: Color) -> None:
    """One petal of a tulip, whose tip is `lean` radii beside the middle."""
    left = []  # from the base of the cup to the petal's tip, in radii
    right = []
    for step in range(9):
        share = step / 8
        half = width * 0.62 * math.sin(math.pi * share**0.75) ** 0.8
        shift = lean * share**0.8
        y = 0.8 - 1.75 * share
        left.append((shift - half, y))
        right.append((shift + half, y))
    cos = math.cos(flower.turn)
    sin = math.sin(flower.turn)
    points = []
    for x, y in left + right[::-1]:
        turned_x = x * cos - y * sin
        turned_y = x * sin + y * cos
        pixel_x = flower.center[0] + flower.radius * turned_x
        pixel_y = flower.center[1] + flower.radius * turned_y
        points.append((pixel_x, pixel_y))
    flower.draw.polygon(points, fill=tone, outline=shade(tone, 0.75))


FLOWERS: dict[str, Callable[[Flower], None]] = {
    "daisy": draw_daisy,
    "dandelion": draw_dandelion,
    "roses": draw_rose,
    "sunflowers": draw_sunflower,
    "tulips": draw_tulip,
}


def draw_background(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """An out-of-focus garden: leaves, earth, sky and other flowers, drawn small and enlarged."""
    base = rng.choice(GARDENS)
    patches = [base, base, base, GREEN, (60, 90, 40), (110, 96, 70), YELLOW, PINK, WHITE]
    small = Image.new("RGB", (max(4, size[0] // 12), max(4, size[1] // 12)), base)
    draw = ImageDraw.Draw(small)
    for _ in range(rng.randint(4, 14)):
        color = vary(rng, rng.choice(patches), 34)
        x = rng.uniform(0, small.width)
        y = rng.uniform(0, small.height)
        r = rng.uniform(1, small.width / 5)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=color)
    return small.filter(ImageFilter.GaussianBlur(1.2)).resize(size, Image.Resampling.BICUBIC)


def draw_leaf(
    draw: ImageDraw.ImageDraw, rng: random.Random, stem_end: Point, radius: float
) -> None:
    """A leaf beside the stem's lower end."""
    foot = (stem_end[0] + rng.uniform(-1, 1) * radius, stem_end[1])
    tip_x = foot[0] + rng.uniform(-1.2, 1.2) * radius
    tip_y = foot[1] - rng.uniform(0.6, 1.8) * radius
    middle_x = (foot[0] + tip_x) / 2
    middle_y = (foot[1] + tip_y) / 2
    wide = rng.uniform(0.1, 0.25) * radius
    outline = [foot, (middle_x - wide, middle_y), (tip_x, tip_y), (middle_x + wide, middle_y)]
    draw.polygon(outline, fill=vary(rng, GREEN, 30))


def draw_picture(class_name: str, rng: random.Random) -> Image.Image:
    """One picture of one to three flowers of a class, 240 to 500 pixels on its longer side."""
    long_side = rng.randint(240, 500)
    ratio = rng.choice([1.0, 1.33, 1.33, 1.5, 1.5])
    size = (long_side, round(long_side / ratio))
    if rng.random() < 0.3:
        size = (size[1], size[0])
    picture = draw_background(rng, size)
    draw = ImageDraw.Draw(picture)
    short_side = min(size)

    count = rng.choice([1, 1, 1, 1, 1, 1, 2, 3])
    radii = [short_side * rng.uniform(0.42, 0.62) / count**0.35 for _ in range(count)]
    for radius in sorted(radii):  # the largest last: it stands in front
        center = (rng.uniform(0.35, 0.65) * size[0], rng.uniform(0.35, 0.6) * size[1])
        stem_end = (center[0] + rng.uniform(-0.2, 0.2) * size[0], size[1] + 5)
        stem_width = max(2, int(radius * rng.uniform(0.06, 0.14)))
        draw.line((*center, *stem_end), fill=vary(rng, GREEN), width=stem_width)
        for _ in range(rng.randint(0, 3)):  # whatever the flower: leaves give no class away
            draw_leaf(draw, rng, stem_end, radius)
        FLOWERS[class_name](Flower(draw, rng, center, radius))

    picture = picture.filter(ImageFilter.GaussianBlur(rng.choice([0.6, 0.8, 1.0, 1.5])))
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.75, 1.2))
    picture = ImageEnhance.Color(picture).enhance(rng.uniform(0.75, 1.2))
    return ImageEnhance.Contrast(picture).enhance(rng.uniform(0.7, 1.15))


def draw_demo_set(folder: Path, images_per_class: int = 200, seed: int = 0) -> None:
    """Draw the whole set to `folder`, one subfolder per class.

    The folder appears when the set is complete.

    Raises:
        FileExistsError: `folder` is there already.
        OSError: it cannot be written.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".demo_flowers_", dir=folder.parent) as work:
        unfinished = Path(work, folder.name)
        for class_name in FLOWERS:
            class_folder = unfinished / class_name
            class_folder.mkdir(parents=True)
            for i in range(images_per_class):
                # a text seeds the same stream on every machine
                rng = random.Random(f"{seed} {class_name} {i}")
                picture = draw_picture(class_name, rng)
                quality = rng.randint(75, 95)
                picture.save(class_folder / f"{class_name}_{i:03d}.jpg", quality=quality)
        unfinished.rename(folder)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a notebook's streams cannot be set
            # an old console or a log may lack letters of a path: they are printed escaped
            stream.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder to make; one subfolder per class")
    parser.add_argument("--images-per-class", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="another seed draws other pictures (default: %(default)s)",
    )
    args = parser.parse_args()
    if args.images_per_class < 1:
        parser.error("--images-per-class must be 1 or more")
    try:
        draw_demo_set(args.folder, args.images_per_class, args.seed)
    except OSError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped: nothing was drawn", file=sys.stderr)
        sys.exit(130)
    print(f"drew {args.images_per_class} pictures of each of {', '.join(FLOWERS)} in {args.folder}")


if __name__ == "__main__":
    main()
