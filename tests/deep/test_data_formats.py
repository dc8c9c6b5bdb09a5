"""Every published format reads to the same images; damaged files are named."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from scipy.io import savemat

from deep.data import files, folders, formats, load, overview, sources
from deep.data.reading import split
from deep.data.spec import Balanced, Data


N, K = 30, 10


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (N, 3, 32, 32), np.uint8), rng.permutation(np.arange(N) % K)


def grey(pair, side=28):
    return pair[0][:, :1, :side, :side], pair[1]


def equal(got, want):
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])
    assert got[0].dtype == np.uint8
    assert got[1].dtype == np.int64
    assert got[0].flags.c_contiguous


def cifar_pickle(pair, key=b"labels"):
    batch = {b"data": pair[0].reshape(len(pair[0]), -1), key: pair[1].tolist()}
    return pickle.dumps(batch, protocol=2)


def python2_pickle(pixels, labels):
    """What Python 2 wrote in 2009: protocol 2, byte strings, NumPy's old module names."""
    data = pixels.reshape(len(pixels), -1).tobytes()
    integers = b"".join(b"K" + bytes([y]) for y in labels)
    return (
        b"\x80\x02}q\x00(U\x04data"
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        + b"(K\x01K" + bytes([len(pixels)]) + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN"
        + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
        + b"U\x06labels](" + integers + b"eu."
    )  # fmt: skip


def binary(pair, *, coarse=False):
    labels = pair[1].astype(np.uint8)[:, None]
    head = [labels // 5, labels] if coarse else [labels]
    return np.concatenate([*head, pair[0].reshape(len(pair[0]), -1)], 1).tobytes()


def idx_files(pair):
    x, y = pair
    n, _, h, w = x.shape
    images = struct.pack(">IIII", 2051, n, h, w) + x.tobytes()
    return images, struct.pack(">II", 2049, n) + y.astype(np.uint8).tobytes()


def mat(pair):
    stream = io.BytesIO()
    labels = np.where(pair[1] == 0, 10, pair[1]).astype(np.uint8)[:, None]
    savemat(stream, {"X": pair[0].transpose(2, 3, 1, 0), "y": labels}, do_compression=True)
    return stream.getvalue()


def write_npz(path, train, test, layout="NHWC"):
    axes = (0, 2, 3, 1) if layout == "NHWC" else (0, 1, 2, 3)
    np.savez(
        path,
        train_images=train[0].transpose(axes),
        train_labels=train[1].astype(np.uint8),
        test_images=test[0].transpose(axes),
        test_labels=test[1],
    )


def test_pickle_binary_matlab_and_npz_are_one_reading(pair, tmp_path):
    equal(formats.cifar_pickle(cifar_pickle(pair), "a"), pair)
    equal(formats.cifar_pickle(cifar_pickle(pair, b"fine_labels"), "a"), pair)
    equal(formats.cifar_pickle(python2_pickle(*pair), "a"), pair)
    equal(formats.cifar_binary(binary(pair), "a", label_bytes=1), pair)
    equal(formats.cifar_binary(binary(pair, coarse=True), "a", label_bytes=2), pair)
    equal(formats.svhn(mat(pair), "a"), pair)
    for layout in ("NHWC", "NCHW"):
        write_npz(tmp_path / "a.npz", pair, pair, layout)
        train, test = formats.npz(tmp_path / "a.npz")
        equal(train, pair)
        equal(test, pair)


def test_idx_plain_and_gzipped(pair):
    images, labels = idx_files(grey(pair))
    equal(formats.idx_pair(images, labels, "a"), grey(pair))
    equal(formats.idx_pair(gzip.compress(images), gzip.compress(labels), "a"), grey(pair))


def test_stl_planes_are_column_major():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (4, 3, 96, 96), np.uint8), np.array([0, 9, 3, 0])
    raw = x.transpose(0, 1, 3, 2).tobytes()
    equal(formats.stl(raw, (y + 1).astype(np.uint8).tobytes(), "a"), (x, y))


def test_a_pickle_cannot_call_anything():
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    for protocol in (0, 2, 4):
        with pytest.raises(ValueError, match=r"a must be a whole CIFAR pickle, got .*print"):
            formats.cifar_pickle(pickle.dumps({"data": Evil()}, protocol=protocol), "a")
    with pytest.raises(ValueError, match="latin1"):
        formats.cifar_pickle(b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00zliltR.", "a")


@pytest.mark.parametrize("cut", [1, 1000, -1])
def test_truncated_files_are_named(pair, cut, tmp_path):
    images, labels = idx_files(grey(pair))
    for read in (
        lambda: formats.cifar_pickle(cifar_pickle(pair)[:cut], "NAME"),
        lambda: formats.cifar_binary(binary(pair)[:cut], "NAME", label_bytes=1),
        lambda: formats.svhn(mat(pair)[:cut], "NAME"),
        lambda: formats.idx_pair(images[:cut], labels, "NAME"),
        lambda: formats.idx_pair(gzip.compress(images)[:cut], labels, "NAME"),
        lambda: formats.idx_pair(images, labels[:cut] if cut < 30 else labels[:3], "NAME"),
        lambda: formats.stl(bytes(3 * 96 * 96)[:cut], b"\1", "NAME"),
    ):
        with pytest.raises(ValueError, match="NAME must"):
            read()
    write_npz(tmp_path / "NAME.npz", pair, pair)
    (tmp_path / "NAME.npz").write_bytes((tmp_path / "NAME.npz").read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"NAME.npz must be a whole"):
        formats.npz(tmp_path / "NAME.npz")


def test_wrong_shape_and_type_say_what_they_got(pair, tmp_path):
    def npz(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return formats.npz(tmp_path / "a.npz")

    x, y = pair
    with pytest.raises(ValueError, match="must hold uint8 images, got float64"):
        npz(images=x / 255, labels=y)
    with pytest.raises(ValueError, match=r"1 or 3 channels, got shape \(30, 2, 32, 32\)"):
        npz(images=x[:, :2], labels=y)
    with pytest.raises(ValueError, match=r"one label an image, got 30 images and labels of .*29"):
        npz(images=x, labels=y[:-1])
    with pytest.raises(ValueError, match="integer labels, got float64"):
        npz(images=x, labels=y + 0.0)
    np.save(tmp_path / "b.npz", x)
    (tmp_path / "b.npz.npy").rename(tmp_path / "b.npz")
    with pytest.raises(ValueError, match=r"must be a whole \.npz"):
        formats.npz(tmp_path / "b.npz")
    with pytest.raises(ValueError, match="images, labels, got pixels"):
        npz(pixels=x)
    with pytest.raises(ValueError, match=r"plain arrays.*pickle"):
        npz(images=np.array([{}]), labels=y)
    with pytest.raises(ValueError, match=r"\(N, 3072\) uint8, got \(30, 1024\)"):
        formats.cifar_pickle(pickle.dumps({"data": x[:, 0].reshape(N, -1), "labels": [0]}, 2), "a")
    with pytest.raises(ValueError, match="idx header of bytes"):
        formats.idx(b"\0\0\x0d\3" + bytes(40), "a")


def test_npz_source_checks_labels_and_classes(pair, tmp_path):
    x, y = pair
    path = tmp_path / "a.npz"
    data = Data("npz", path=str(path))
    write_npz(path, pair, pair)
    images = load(data)
    assert images.train.n == (3,) * 10
    assert images.mean == pytest.approx(x.mean((0, 2, 3)) / 255)
    assert images.std == pytest.approx(x.std((0, 2, 3)) / 255)
    assert load(Data("npz", path=str(path), mean=(0.5,) * 3, std=(1.0,) * 3)).mean == (0.5,) * 3
    write_npz(path, pair, (x, y + 1))
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.9, got 1\.\.10"):
        load(data)
    write_npz(path, (x[y != 4], y[y != 4]), pair)
    with pytest.raises(ValueError, match="class 4 must have images, got none"):
        load(data)
    np.savez(path, images=x, labels=y - 1)
    with pytest.raises(ValueError, match=r"a\.npz: labels must be 0 .. K-1.*got -1\.\.8 on 30"):
        load(data)
    # A wrong label must not make as many classes.
    np.savez(path, images=x, labels=np.where(y == 9, 2**40, y))
    with pytest.raises(ValueError, match=r"got 0\.\.1099511627776 on"):
        load(data)
    write_npz(path, pair, (x[:, :, :16], y))
    with pytest.raises(ValueError, match=r"test must have the training set's .*\(3, 16, 32\)"):
        load(data)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(Data("npz", path=str(tmp_path / "nowhere.npz")))


def small(monkeypatch, name):
    """Let the published set be as small as the tests' files."""
    source = sources.PUBLISHED[name]
    fake = sources.Published(
        source.layouts, (3,) * K, N, source.shape, source.classes[:K], source.mean, source.std,
        source.excerpt,
    )  # fmt: skip
    monkeypatch.setitem(sources.PUBLISHED, name, fake)
    return source.layouts


def tar(path, folder, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_all_ways_to_hold_cifar10_load_alike(pair, tmp_path, monkeypatch):
    layouts = small(monkeypatch, "cifar10")
    parts = [(x, y) for x, y in zip(np.split(pair[0], 5), np.split(pair[1], 5), strict=True)]
    want = None
    for layout, write in zip(layouts, (cifar_pickle, binary), strict=True):
        members = {name: write(p) for name, p in zip(layout.train, parts, strict=True)}
        members[layout.test[0]] = write(pair)
        root = tmp_path / layout.format
        (root / layout.folder).mkdir(parents=True)
        for name, data in members.items():
            (root / layout.folder / name).write_bytes(data)
        packed = tmp_path / f"{layout.format}-archive"
        packed.mkdir()
        tar(packed / layout.archive.name, layout.folder, members)
        for folder, path in ((root, ""), (packed, ""), (root, str(root / layout.folder)),
                             (root, str(packed / layout.archive.name))):  # fmt: skip
            got = load(Data("cifar10", path=path), folder=folder, verify=False)
            want = want or got
            assert torch.equal(got.train.pixels, want.train.pixels)
            assert torch.equal(got.train.labels, want.train.labels)
            assert torch.equal(got.test.pixels, want.train.pixels)
        with pytest.raises(ValueError, match=f"MD5 {layout.archive.md5}, got .*fetch https"):
            load(Data("cifar10"), folder=packed)
        tar(packed / layout.archive.name, "other", members)
        with pytest.raises(ValueError, match=f"must hold {layout.folder}/"):
            load(Data("cifar10"), folder=packed, verify=False)
        archive = packed / layout.archive.name
        archive.write_bytes(archive.read_bytes()[:5000])
        with pytest.raises(ValueError, match="must be a whole archive"):
            load(Data("cifar10"), folder=packed, verify=False)
    write_npz(tmp_path / "cifar10-full.npz", pair, pair)
    got = load(Data("cifar10"), folder=tmp_path)
    assert torch.equal(got.train.pixels, want.train.pixels)
    assert got.classes[3] == "cat"


def test_svhn_and_idx_files_are_checked_one_by_one(pair, tmp_path, monkeypatch):
    small(monkeypatch, "svhn")
    (tmp_path / "svhn").mkdir()
    for name in ("train_32x32.mat", "test_32x32.mat"):
        (tmp_path / "svhn" / name).write_bytes(mat(pair))
    with pytest.raises(ValueError, match=r"train_32x32.mat must have MD5 e26dedcc"):
        load(Data("svhn"), folder=tmp_path)
    got = load(Data("svhn"), folder=tmp_path, verify=False)
    assert got.train.labels.tolist() == pair[1].tolist()
    assert got.mean == (0.5,) * 3
    small(monkeypatch, "fashion-mnist")
    (tmp_path / "fashion-mnist").mkdir()
    for stem in ("train", "t10k"):
        images, labels = idx_files(grey(pair))
        target = tmp_path / "fashion-mnist"
        (target / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (target / f"{stem}-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz must have MD5 8d4fb7e6"):
        load(Data("fashion-mnist"), folder=tmp_path)
    got = load(Data("fashion-mnist"), folder=tmp_path, verify=False)
    assert torch.equal(got.train.pixels, torch.from_numpy(grey(pair)[0].copy()))
    # MNIST's files have the same names: a folder of its own keeps them apart.
    with pytest.raises(FileNotFoundError, match="mnist"):
        load(Data("mnist"), folder=tmp_path)


def test_missing_files_say_what_to_fetch_and_where(tmp_path):
    for name, source in sources.PUBLISHED.items():
        with pytest.raises(FileNotFoundError) as caught:
            load(Data(name), folder=tmp_path)
        line = str(caught.value)
        assert "\n" not in line
        for file in source.layouts[0].published:
            assert file.url in line
            assert file.md5 in line
        assert str(tmp_path) in line
        assert "UFM_DATA" in line


def test_overview_tells_present_from_missing(pair, tmp_path, monkeypatch):
    write_npz(tmp_path / "cifar10-lt100.npz", pair, pair)
    text = overview(folder=tmp_path)
    assert f"cifar10: {tmp_path}/cifar10-lt100.npz" in text
    assert "svhn: missing" in text
    for source in sources.PUBLISHED.values():
        for layout in source.layouts:
            assert all(file.md5 in text for file in layout.published)
    monkeypatch.setenv("UFM_DATA", str(tmp_path / "elsewhere"))
    assert "cifar10: missing" in overview("cifar10")
    assert "svhn" not in overview("cifar10")
    with pytest.raises(ValueError, match="name must be one of"):
        overview("cifar11")


def test_published_counts_and_checksums_have_the_right_form():
    total = {"svhn": 73257, "svhn-extra": 604388, "mnist": 60000, "fashion-mnist": 60000,
             "tiny-imagenet": 100000, "stl10": 5000, "cifar10": 50000,
             "cifar100": 50000}  # fmt: skip
    assert {name: sum(source.n) for name, source in sources.PUBLISHED.items()} == total
    for source in sources.PUBLISHED.values():
        assert len(source.names) == len(source.n)
        for layout in source.layouts:
            for file in layout.published:
                assert len(bytes.fromhex(file.md5)) == 16
    names = list(sources.PUBLISHED["cifar100"].classes)
    assert names == sorted(names)


def image(path, colour, size=(8, 6)):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_list_files_and_class_folders_give_the_same_images(tmp_path):
    for k, colour in enumerate([(250, 0, 0), (0, 250, 0), (0, 0, 250)]):
        for i in range(2):
            for part in ("train", "test"):
                image(tmp_path / part / f"c{k}" / f"{i} x.png", colour)
    by_folder = load(Data("folder", path=str(tmp_path)))
    assert by_folder.classes == ("c0", "c1", "c2")
    assert by_folder.train.size == (6, 8)
    for part in ("train", "test"):
        lines = [f"{part}/c{k}/{i} x.png {k}" for k in range(3) for i in range(2)]
        (tmp_path / f"{part}.txt").write_text("\n".join(lines) + "\n\n")
    by_list = load(Data("folder", path=str(tmp_path)))
    assert torch.equal(by_list.train.pixels, by_folder.train.pixels)
    assert torch.equal(by_list.train.labels, by_folder.train.labels)
    assert by_list.train.pixels[2, :, 0, 0].tolist() == [0, 250, 0]
    for fit in ("stretch", "crop"):
        sized = load(Data("folder", path=str(tmp_path), size=4, fit=fit))
        assert sized.train.size == (4, 4)
        assert sized.train.pixels[2, :, 3, 3].tolist() == [0, 250, 0]


def test_folders_name_what_is_wrong(tmp_path):
    root, data = tmp_path, Data("folder", path=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"list train.txt .* or class folders in train/"):
        load(data)
    for k in range(2):
        image(root / f"{k}.png", (k, k, k))
    (root / "train.txt").write_text("0.png 0\n1.png 1\n")
    (root / "test.txt").write_text("0.png 0\n")
    assert len(load(data).train) == 2

    def refused(text, kind, match, file="train.txt"):
        before = (root / file).read_text()
        (root / file).write_text(text)
        with pytest.raises(kind, match=match):
            load(data)
        (root / file).write_text(before)

    refused("0.png\n", ValueError, "line 1 must be 'path label'")
    refused("", ValueError, "empty list")
    refused("0.png 0\n1.png 2\n", ValueError, "class 1 must have images")
    refused("0.png 2\n", ValueError, "one of the training set's, got '2'", "test.txt")
    refused("0.png 0\nno.png 1\n", FileNotFoundError, r"no.png must be there, since it is listed")
    image(root / "big.png", (0, 0, 0), (9, 9))
    refused("0.png 0\nbig.png 1\n", ValueError, r"big.png must be 8 x 6 .* got 9 x 9")
    whole = (root / "big.png").read_bytes()
    (root / "cut.png").write_bytes(whole[: len(whole) // 2])
    refused("0.png 0\ncut.png 1\n", ValueError, r"cut.png must be a whole image")
    with pytest.raises(MemoryError, match="size must let 3 images fit"):
        load(Data("folder", path=str(root), size=10**7))


def test_aircraft_names_have_spaces_and_lose_their_banner(tmp_path):
    from PIL import Image

    for name in ("12", "13"):
        picture = Image.new("RGB", (30, 50), (200, 100, 50))
        picture.paste((0, 0, 0), (0, 30, 30, 50))
        (tmp_path / "images").mkdir(exist_ok=True)
        picture.save(tmp_path / "images" / f"{name}.jpg", quality=95)
    for part in ("train", "test"):
        (tmp_path / f"images_variant_{part}.txt").write_text("12 Falcon 900\n13 A340-300\n")
    images = load(Data("fgvc-aircraft", path=str(tmp_path), size=16))
    assert images.classes == ("A340-300", "Falcon 900")
    assert images.train.labels.tolist() == [1, 0]
    assert images.train.pixels[:, 0].min() > 150  # no black row is left


def test_tiny_imagenet_folder_and_archive(tmp_path, monkeypatch):
    small(monkeypatch, "tiny-imagenet")
    root = tmp_path / "tiny-imagenet-200"
    ids = [f"n{k:08d}" for k in range(K)]
    for k, name in enumerate(ids):
        for i in range(3):
            image(root / "train" / name / "images" / f"{name}_{i}.JPEG", (20 * k,) * 3, (64, 64))
    lines = [f"val_{i}.JPEG\t{ids[i % K]}\t0\t0\t9\t9" for i in range(N)]
    for i in range(N):
        image(root / "val" / "images" / f"val_{i}.JPEG", (20 * (i % K),) * 3, (64, 64))
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines))
    from_folder = load(Data("tiny-imagenet"), folder=tmp_path)
    assert from_folder.train.n == (3,) * K
    level = from_folder.test.pixels.double().mean((1, 2, 3))
    torch.testing.assert_close(level, 20.0 * from_folder.test.labels.double(), rtol=0, atol=2)
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "tiny-imagenet-200.zip", "w") as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    from_zip = load(Data("tiny-imagenet"), folder=packed, verify=False)
    assert torch.equal(from_zip.test.pixels, from_folder.test.pixels)
    with pytest.raises(ValueError, match="MD5 90528d7c"):
        load(Data("tiny-imagenet"), folder=packed)
    layout = sources.PUBLISHED["tiny-imagenet"].layouts[0]
    (packed / "tiny-imagenet-200.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match="must be a whole archive"):
        folders.tiny_imagenet(packed / "tiny-imagenet-200.zip", layout, verify=False)


def test_digits_need_no_file_and_split_every_class():
    digits = load(Data())
    assert digits.train.pixels.shape == (1442, 1, 8, 8)
    assert digits.train.n == (143, 146, 142, 147, 145, 146, 145, 144, 140, 144)
    assert len(digits.test) == 355
    assert digits.train.pixels.max() == 255
    few = load(Data(profile=Balanced(5), holdout=10))
    assert few.train.n == (5,) * 10
    assert few.validation is not None
    assert few.validation.n == (10,) * 10


def test_split_takes_every_fifth_of_each_class():
    labels = np.array([0, 1] * 12)
    (x, y), (xt, yt) = split((np.arange(24), labels))
    assert xt.tolist() == [8, 9, 18, 19]
    assert sorted([*x, *xt]) == list(range(24))
    assert yt.tolist() == [0, 1, 0, 1]
    assert (y == labels[x]).all()


def test_md5_of_a_good_file_passes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    file = sources.File("a", "http://x", "900150983cd24fb0d6963f7d28e17f72")
    files.check_md5(tmp_path / "a", file)
