"""Make the pictures of the README and of the page "Get started".

    python examples/readme_pictures.py docs/pictures

Takes about two minutes on two cores.
"""

import sys
from pathlib import Path

import tfviz
from tfviz.cli.render import DEMO_UNITS

BANNER = ["fire5:6", "fire7:12", "fire9:300", "fire7", "logit:goldfish"]


def main() -> None:
    """Render and write the sheets."""
    folder = Path(sys.argv[1])
    model = tfviz.adapt(tfviz.load_model("squeezenet"))
    demo = tfviz.render(model, DEMO_UNITS)
    write(demo.sheet(columns=3), folder / "demo.webp")
    chosen = [DEMO_UNITS.index(unit) for unit in BANNER]
    write(
        tfviz.images.sheet([demo.images[k] for k in chosen], BANNER, columns=5),
        folder / "banner.webp",
    )

    fourier, pixels = tfviz.params.fourier, tfviz.params.pixels
    distill, none = tfviz.transforms.distill, tfviz.transforms.none
    rows = {
        "pixels, no transforms": (pixels(224, 224), none()),
        "fourier, no transforms": (fourier(224, 224), none()),
        "fourier, distill (the default)": (fourier(224, 224), distill()),
    }
    pictures = [
        tfviz.render(model, "logit:strawberry", *how).images[0] for how in rows.values()
    ]
    write(tfviz.images.sheet(pictures, list(rows), columns=3), folder / "methods.webp")


def write(sheet, path: Path) -> None:
    """Write a sheet, compressed for web pages, and print its size."""
    sheet.save(path, quality=85, method=6)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
