"""What a report is about: a row a section, for models and for detectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from narrows.report.anomalies import about_detector, false_alarms, top_anomalies
from narrows.report.codes import kl_by_unit, latent_map, top_examples
from narrows.report.content import LeftOut, Section, Topic, section
from narrows.report.data import about_data
from narrows.report.figures import all_figures, beside_pca
from narrows.report.generated import samples, traversals
from narrows.report.reconstructions import reconstructions
from narrows.report.sizes import beside_formats
from narrows.report.subject import DetectorSubject, ModelSubject
from narrows.report.training import about_model, findings, learning_curves

DATA: Topic[ModelSubject | DetectorSubject] = Topic(
    "data",
    "What the data are",
    "Every figure on this page is about these rows; they should be rows that the model was not trained on.",
    about_data,
)

# A new section is a function that gives figures, and a row here.
MODEL_TOPICS: tuple[Topic[ModelSubject], ...] = (
    DATA,
    Topic(
        "model",
        "What the model is",
        "A model squeezes each row through a short code and builds it again; this is what it is made of.",
        about_model,
    ),
    Topic(
        "learning",
        "Learning curves",
        "Lines should fall and level out; where held-out rows rise as training rows fall, the model learns by heart.",
        learning_curves,
    ),
    Topic(
        "findings",
        "What the doctor found",
        "Each line is a known trouble of training, with what to do about it; no line is good news.",
        findings,
    ),
    Topic(
        "reconstructions",
        "Rows, rebuilt from their codes",
        "The nearer the lower line to the upper one, the more the code keeps; the worst rows show what it cannot say.",
        reconstructions,
    ),
    Topic(
        "pca",
        "Beside principal components",
        "A model that does not beat PCA at the same code size is not worth its training.",
        beside_pca,
    ),
    Topic(
        "samples",
        "New examples",
        "The more these look like the data, and the less alike they are, the better the model knows the data.",
        samples,
    ),
    Topic(
        "map",
        "Map of the codes",
        "Rows near one another are alike to the model; colours that lie apart were told apart without being told.",
        latent_map,
    ),
    Topic(
        "traversals",
        "What each unit of the code does",
        "Each line changes one number of the code and nothing else: what changes in the row is what that number says.",
        traversals,
    ),
    Topic(
        "units",
        "What each unit costs",
        "A long bar tells much of a row; units without one are free, and a shorter code would do as well.",
        kl_by_unit,
    ),
    Topic(
        "examples",
        "Top examples of sparse codes",
        "A unit stands for what the rows have in common in which it is largest.",
        top_examples,
    ),
    Topic(
        "sizes",
        "Beside other file formats",
        "The fewer bits the better; the codec file comes on top once, however many images there are.",
        beside_formats,
    ),
    Topic(
        "figures",
        "All figures",
        "For those who want the numbers: nats and bits are smaller where the model is better, bounds larger.",
        all_figures,
    ),
)
DETECTOR_TOPICS: tuple[Topic[DetectorSubject], ...] = (
    DATA,
    Topic(
        "detector",
        "What the detector is",
        "A detector scores how unlike the training rows a row is; this is what it looks at.",
        about_detector,
    ),
    Topic(
        "alarms",
        "Threshold and false alarms",
        "A row whose score is above the threshold is marked; a smaller rate marks fewer rows, and misses more.",
        false_alarms,
    ),
    Topic(
        "anomalies",
        "Top anomalies",
        "The rows to look at first, and the columns to look at in each.",
        top_anomalies,
    ),
)


@singledispatch
def sections(subject: ModelSubject | DetectorSubject, names: Sequence[str] = ()) -> list[Section | LeftOut]:
    """All sections of a model or a detector, or those of some topics."""
    raise TypeError(f"there are no topics for a {type(subject).__name__}")


@sections.register
def _(subject: ModelSubject, names: Sequence[str] = ()) -> list[Section | LeftOut]:
    return [section(topic, subject) for topic in MODEL_TOPICS if not names or topic.name in names]


@sections.register
def _(subject: DetectorSubject, names: Sequence[str] = ()) -> list[Section | LeftOut]:
    return [section(topic, subject) for topic in DETECTOR_TOPICS if not names or topic.name in names]
