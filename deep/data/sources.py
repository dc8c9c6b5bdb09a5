"""The published image sets: files, checksums, class counts and normalisation. Torch-free.

Checksums are MD5 because that is what the authors publish; they guard against truncation and
mix-ups, and nothing read from these files is ever executed.
"""

from __future__ import annotations

import dataclasses
from typing import Literal


Format = Literal["cifar-pickle", "cifar-binary", "stl", "svhn", "idx", "tiny-imagenet"]
Constants = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class File:
    """A file as published.

    Attributes:
        name: File name.
        url: Where it is.
        md5: Its published checksum.
    """

    name: str
    url: str
    md5: str


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way in which a set is published.

    Attributes:
        format: How its files are read.
        folder: Folder that holds the members, once unpacked.
        train: Members of the training set, in order.
        test: Members of the test set.
        archive: Archive with ``folder`` inside; None where each member is a file of its own.
        files: Published single files, where there is no archive.
    """

    format: Format
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    archive: File | None = None
    files: tuple[File, ...] = ()

    @property
    def published(self) -> tuple[File, ...]:
        """What is fetched."""
        return self.files if self.archive is None else (self.archive,)


@dataclasses.dataclass(frozen=True)
class Published:
    """A published image set.

    Attributes:
        layouts: Ways to get it; the first is the one downloaded.
        n: Class sizes of the training set.
        n_test: Number of test images.
        shape: ``(C, H, W)``.
        classes: Class names; empty where they are digits.
        mean: Channel means papers normalise with; empty to measure them.
        std: Channel standard deviations likewise.
        excerpt: Stem of the ``.npz`` files ``STEM-PROFILE.npz`` that hold the whole set or the
            first images of each class.
    """

    layouts: tuple[Layout, ...]
    n: tuple[int, ...]
    n_test: int
    shape: tuple[int, int, int]
    classes: tuple[str, ...] = ()
    mean: Constants = ()
    std: Constants = ()
    excerpt: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names."""
        return self.classes or tuple(str(k) for k in range(len(self.n)))


_TORONTO = "https://www.cs.toronto.edu/~kriz/"
_HOUSES = "http://ufldl.stanford.edu/housenumbers/"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"


def _file(base: str, name: str, md5: str) -> File:
    return File(name, base + name, md5)


def _idx(base: str, folder: str, md5s: tuple[str, str, str, str]) -> Layout:
    train = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    test = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    files = tuple(
        _file(base, f"{name}.gz", md5) for name, md5 in zip(train + test, md5s, strict=True)
    )
    return Layout("idx", folder, train, test, files=files)


_SVHN_TRAIN = _file(_HOUSES, "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373")
_SVHN_TEST = _file(_HOUSES, "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3")
_SVHN_EXTRA = _file(_HOUSES, "extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7")


def _svhn(*train: File) -> Layout:
    names = tuple(file.name for file in train)
    return Layout("svhn", "svhn", names, (_SVHN_TEST.name,), files=(*train, _SVHN_TEST))


_CIFAR10 = (
    Layout(
        "cifar-pickle",
        "cifar-10-batches-py",
        tuple(f"data_batch_{i}" for i in range(1, 6)),
        ("test_batch",),
        _file(_TORONTO, "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    ),
    Layout(
        "cifar-binary",
        "cifar-10-batches-bin",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        _file(_TORONTO, "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    ),
)
_CIFAR100 = (
    Layout(
        "cifar-pickle",
        "cifar-100-python",
        ("train",),
        ("test",),
        _file(_TORONTO, "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
    ),
    Layout(
        "cifar-binary",
        "cifar-100-binary",
        ("train.bin",),
        ("test.bin",),
        _file(_TORONTO, "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
    ),
)
_STL10 = Layout(
    "stl",
    "stl10_binary",
    ("train_X.bin", "train_y.bin"),
    ("test_X.bin", "test_y.bin"),
    File(
        "stl10_binary.tar.gz",
        "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        "91f7769df0f17e558f3565bffb0c7dfb",
    ),
)
_TINY = Layout(
    "tiny-imagenet",
    "tiny-imagenet-200",
    (),
    (),
    File(
        "tiny-imagenet-200.zip",
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "90528d7ca1a48142e341f4ef8d21d0de",
    ),
)
_MNIST_IDX = _idx(
    _MNIST,
    "mnist",
    (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)
_FASHION_IDX = _idx(
    _FASHION,
    "fashion-mnist",
    (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)
_SVHN_N = (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659)
_SVHN_EXTRA_N = (45550, 90560, 74740, 60765, 50633, 53490, 41582, 43997, 35358, 34456)
_HALF = (0.5, 0.5, 0.5)
_CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
_STL10_NAMES = "airplane bird car cat deer dog horse monkey ship truck"
_FASHION_NAMES = "T-shirt trouser pullover dress coat sandal shirt sneaker bag boot"
_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""

PUBLISHED: dict[str, Published] = {
    # These deviations are means over per-image ones; the long-tail literature uses them all over.
    "cifar10": Published(
        _CIFAR10,
        (5000,) * 10,
        10_000,
        (3, 32, 32),
        tuple(_CIFAR10_NAMES.split()),
        (0.4914, 0.4822, 0.4465),
        (0.2023, 0.1994, 0.2010),
        "cifar10",
    ),
    "cifar100": Published(
        _CIFAR100,
        (500,) * 100,
        10_000,
        (3, 32, 32),
        tuple(_CIFAR100_NAMES.split()),
        (0.5071, 0.4867, 0.4408),
        (0.2675, 0.2565, 0.2761),
        "cifar100",
    ),
    "svhn": Published((_svhn(_SVHN_TRAIN),), _SVHN_N, 26_032, (3, 32, 32), mean=_HALF, std=_HALF),
    "svhn-extra": Published(
        (_svhn(_SVHN_TRAIN, _SVHN_EXTRA),),
        tuple(a + b for a, b in zip(_SVHN_N, _SVHN_EXTRA_N, strict=True)),
        26_032,
        (3, 32, 32),
        mean=_HALF,
        std=_HALF,
    ),
    "stl10": Published(
        (_STL10,), (500,) * 10, 8000, (3, 96, 96), tuple(_STL10_NAMES.split()), _HALF, _HALF
    ),
    "mnist": Published(
        (_MNIST_IDX,),
        (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        10_000,
        (1, 28, 28),
        mean=(0.1307,),
        std=(0.3081,),
        excerpt="mnist",
    ),
    "fashion-mnist": Published(
        (_FASHION_IDX,),
        (6000,) * 10,
        10_000,
        (1, 28, 28),
        tuple(_FASHION_NAMES.split()),
        (0.2860,),
        (0.3530,),
        "fashion",
    ),
    "tiny-imagenet": Published((_TINY,), (500,) * 200, 10_000, (3, 64, 64)),
}
