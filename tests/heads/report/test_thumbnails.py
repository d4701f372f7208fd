"""Small pictures, and none where there is no picture."""

import base64
import io

from PIL import Image

from heads.report.thumbnails import SIDE, thumbnail


def read(uri: str) -> Image.Image:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_picture_is_made_small_and_keeps_its_proportions(tmp_path, draw_image):
    made = read(thumbnail(str(draw_image(tmp_path / "a.png", (400, 200)))))
    assert (made.format, made.size) == ("JPEG", (SIDE, SIDE // 2))


def test_picture_is_upright_and_its_metadata_is_gone(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "camera of somebody"
    Image.new("RGB", (60, 30), "red").save(tmp_path / "a.jpg", exif=exif)
    uri = thumbnail(str(tmp_path / "a.jpg"))
    assert read(uri).size == (30, 60)
    assert not read(uri).getexif()


def test_colours_that_a_jpeg_cannot_hold_are_converted(tmp_path):
    Image.new("RGBA", (40, 40), (255, 0, 0, 128)).save(tmp_path / "a.png")
    assert read(thumbnail(str(tmp_path / "a.png"))).mode == "RGB"


def test_file_that_is_gone_or_broken_gives_no_picture(tmp_path, draw_image):
    assert thumbnail(str(tmp_path / "gone.png")) == ""
    (tmp_path / "text.png").write_text("no picture")
    assert thumbnail(str(tmp_path / "text.png")) == ""
    cut = draw_image(tmp_path / "cut.jpg", (200, 200))
    cut.write_bytes(cut.read_bytes()[:2000])
    assert thumbnail(str(cut)) == ""
