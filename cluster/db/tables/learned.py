"""What models say of assets: embeddings and printed text. An embedding's truth is its row; every index is derived.

`seq` rises with every write of its kind and never repeats, so "everything above N" misses nothing and an entry of an
index is good exactly while its (id, seq) is a row. Take it with `queries.embeddings.take_seqs`.
"""

from sqlalchemy import BigInteger, Float, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base


class SmartSearch(Base):
    """An asset's picture as a point. `embedding`: float16 values, little-endian; `model`: whose they are, by Immich's
    name. Source: spec/jobs-ml.md §4."""

    __tablename__ = "smart_search"
    __table_args__ = (Index("ix_smart_search_seq", "seq", unique=True), Index("ix_smart_search_model", "model"))

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    embedding: Mapped[bytes] = mapped_column(LargeBinary)
    model: Mapped[str] = mapped_column(String)
    seq: Mapped[int] = mapped_column(BigInteger)


class FaceSearch(Base):
    """A face as a point, like `SmartSearch`. Source: spec/jobs-ml.md §6."""

    __tablename__ = "face_search"
    __table_args__ = (Index("ix_face_search_seq", "seq", unique=True),)

    face_id: Mapped[str] = mapped_column(ForeignKey("asset_face.id", ondelete="CASCADE"), primary_key=True)
    embedding: Mapped[bytes] = mapped_column(LargeBinary)
    model: Mapped[str] = mapped_column(String)
    seq: Mapped[int] = mapped_column(BigInteger)


class EmbeddingCounter(Base):
    """The last `seq` of a kind (`smart_search`, `face_search`). Whoever counts holds its row until the commit."""

    __tablename__ = "embedding_counter"

    kind: Mapped[str] = mapped_column(String, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)


class AssetOcr(Base):
    """A line of printed text, the `number`th to be read. Corners are shares of the picture's width and height, 0 to 1,
    clockwise from the top left. Source: spec/jobs-ml.md §8."""

    __tablename__ = "asset_ocr"
    __table_args__ = (Index("ix_asset_ocr_asset_id", "asset_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"))
    number: Mapped[int]
    x1: Mapped[float] = mapped_column(Float)
    y1: Mapped[float] = mapped_column(Float)
    x2: Mapped[float] = mapped_column(Float)
    y2: Mapped[float] = mapped_column(Float)
    x3: Mapped[float] = mapped_column(Float)
    y3: Mapped[float] = mapped_column(Float)
    x4: Mapped[float] = mapped_column(Float)
    y4: Mapped[float] = mapped_column(Float)
    box_score: Mapped[float] = mapped_column(Float)
    text_score: Mapped[float] = mapped_column(Float)
    text: Mapped[str] = mapped_column(Text)
    is_visible: Mapped[bool] = mapped_column(default=True)


class OcrSearch(Base):
    """All text of an asset as `text_search.searchable` makes it."""

    __tablename__ = "ocr_search"
    __table_args__ = (
        # needs the extension pg_trgm; SQLite looks through the rows, a few microseconds each
        Index("ix_ocr_search_text", "text", postgresql_using="gin", postgresql_ops={"text": "gin_trgm_ops"}).ddl_if(
            dialect="postgresql"
        ),
    )

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
