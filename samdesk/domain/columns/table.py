"""A batch of annotations in columns. Immutable. Must not know documents or files."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samdesk.domain.errors import SamdeskError
from samdesk.domain.geometry import GRID, Bounds, Plane, Shape, ShapeKind

from .annotation import LOCKED, OBJECT_TYPES, Annotation, AnnotationClass, Attributes, Color, color_of_name
from .cleaning import Repairs, cleaned, on_grid, refuse
from .ids import id_bytes
from .ragged import AnyGeometry, Geometry, Mask, Rows, chosen, concatenated, frozen, same_rows, source_of

Classes = tuple[AnnotationClass, ...]

MOST_CLASSES = 2**16 - 1

ATTRIBUTES_BYTES = 1024
"""What the attributes of one annotation are counted as."""

_COLUMNS = ("ids", "order", "class_id", "object_type", "flags", "kind", "z", "t", "bounds")
_CONSTANT_FROM = 1024
_PLAIN = Attributes()


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Annotations in columns; row k of every column belongs to the same annotation.

    Arrays are read-only and may be shared between tables. A column in which every value is
    the same may be kept as one value (stride 0).

    Attributes
    ----------
    ids : ndarray, (n, 16) uint8
        The bytes of the UUIDs.
    order : ndarray, (n,) int64
        Position in the list; unique in a document, gaps allowed.
    class_id : ndarray, (n,) uint16
        0 for unclassified, k for ``classes[k - 1]``.
    object_type : ndarray, (n,) uint8
        Index into `OBJECT_TYPES`.
    flags : ndarray, (n,) uint8
        Bit `LOCKED`.
    kind : ndarray, (n,) uint8
        `ShapeKind`.
    z, t : ndarray, (n,) int32
    bounds : ndarray, (n, 4) float32
        x0, y0, x1, y1 in image pixels, rounded outward.
    classes : tuple of AnnotationClass
    attributes : mapping of row to Attributes
        Only of the rows that have any.
    """

    ids: NDArray[np.uint8]
    order: NDArray[np.int64]
    class_id: NDArray[np.uint16]
    object_type: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    z: NDArray[np.int32]
    t: NDArray[np.int32]
    bounds: NDArray[np.float32]
    classes: Classes
    attributes: Mapping[int, Attributes]
    _geometry: AnyGeometry

    # Making

    @classmethod
    def empty(cls, classes: Classes = ()) -> Table:
        return cls.from_arrays(np.empty((0, 2), np.int32), [0], classes=classes)

    @classmethod
    def from_annotations(
        cls, annotations: Iterable[Annotation], classes: Classes = (), repairs: Repairs | None = None
    ) -> Table:
        """Columns of annotations, their shapes snapped to 1/GRID px and valid there.

        Parameters
        ----------
        annotations : iterable of Annotation
        classes : tuple of AnnotationClass
            Come first in the table's classes; others that are used are added, with a
            color made from their name.
        repairs : Repairs, optional
            Receives the positions of annotations that were repaired or left out.

        Raises
        ------
        SamdeskError
            When a shape is empty on the grid (or not finite) and no `repairs` were given.
        """
        many = list(annotations)
        names = {one.class_name: None for one in many if one.class_name}
        classes = with_names(classes, names)
        numbers: dict[str | None, int] = {one.name: k for k, one in enumerate(classes, 1)}
        attributes = {row: found for row, one in enumerate(many) if (found := Attributes.of(one))}
        coords, ring_coords, part_rings, row_parts = _joined_shapes([one.shape for one in many])
        table = cls.from_arrays(
            coords,
            ring_coords,
            part_rings,
            row_parts,
            ids=id_bytes(one.id for one in many),
            class_id=[numbers.get(one.class_name, 0) for one in many],
            object_type=[_object_type(one.object_type) for one in many],
            flags=[LOCKED * one.locked for one in many],
            kind=[one.shape.kind for one in many],
            z=[one.plane.z for one in many],
            t=[one.plane.t for one in many],
            classes=classes,
            attributes=attributes,
            validate=True,
            repairs=(found_repairs := Repairs()),
        )
        if repairs is not None:
            repairs.dropped += found_repairs.dropped
            repairs.repaired += found_repairs.repaired
        elif found_repairs.dropped:
            raise SamdeskError(
                f"{len(found_repairs.dropped)} of {len(many)} shapes are empty.",
                f"A shape must be larger than 1/{GRID} px and have finite coordinates.",
            )
        return table

    @classmethod
    def from_arrays(
        cls,
        coords: ArrayLike,
        ring_coords: ArrayLike,
        part_rings: ArrayLike | None = None,
        row_parts: ArrayLike | None = None,
        *,
        ids: NDArray[np.uint8] | None = None,
        order: ArrayLike | None = None,
        class_id: ArrayLike = 0,
        object_type: ArrayLike = 0,
        flags: ArrayLike = 0,
        kind: ArrayLike = ShapeKind.AREA,
        z: ArrayLike = 0,
        t: ArrayLike = 0,
        classes: Classes = (),
        attributes: Mapping[int, Attributes] | None = None,
        validate: bool = False,
        repairs: Repairs | None = None,
    ) -> Table:
        """Take over arrays made in bulk; they must not be written afterwards.

        Parameters
        ----------
        coords : array, (v, 2)
            Floats are px and are snapped; integers are steps of 1/GRID px already.
        ring_coords : array, (r + 1,)
            Offsets of open rings into `coords`.
        part_rings, row_parts : arrays, (p + 1,) and (n + 1,), optional
            Offsets of parts into the rings and of rows into the parts; by default every
            ring is a part, every part a row.
        ids : array, (n, 16) uint8, optional
            Made at random when not given.
        order : array, (n,), optional
            By default 0..n-1.
        class_id, object_type, flags, kind, z, t : arrays, (n,), or one value for all
        classes : tuple of AnnotationClass
        attributes : mapping of row to Attributes
        validate : bool
            Drop repeated vertices, degenerate rings and useless rows, and repair invalid
            polygons. Without it the caller vouches that every row is valid and not empty.
        repairs : Repairs, optional
            Receives the rows that were repaired or left out when validating.

        Raises
        ------
        SamdeskError
            When a coordinate is not finite or too large and `validate` is not set.
        """
        rings = np.asarray(ring_coords)
        parts = np.arange(len(rings)) if part_rings is None else np.asarray(part_rings)
        rows = np.arange(len(parts)) if row_parts is None else np.asarray(row_parts)
        steps, bad = on_grid(np.asarray(coords))
        geometry = Geometry.of(rows, parts, rings, steps)
        n = len(geometry)
        table = cls(
            ids=_frozen_column(random_ids(n) if ids is None else ids, np.uint8, (n, 16)),
            order=_frozen_column(np.arange(n) if order is None else order, np.int64, (n,)),
            class_id=_frozen_column(class_id, np.uint16, (n,)),
            object_type=_compact(_frozen_column(object_type, np.uint8, (n,))),
            flags=_compact(_frozen_column(flags, np.uint8, (n,))),
            kind=_compact(_frozen_column(kind, np.uint8, (n,))),
            z=_compact(_frozen_column(z, np.int32, (n,))),
            t=_compact(_frozen_column(t, np.int32, (n,))),
            bounds=np.empty((n, 4), np.float32),
            classes=checked_classes(classes),
            attributes=dict(attributes or {}),
            _geometry=geometry,
        )
        if not validate:
            refuse(bad)
            return replace(table, bounds=_bounds(geometry))
        geometry, kept, found = cleaned(geometry, table.kind, bad)
        if repairs is not None:
            repairs.dropped += found.dropped
            repairs.repaired += found.repaired
        if len(kept) < n:
            table = table._columns_at(kept)
        return replace(table, bounds=_bounds(geometry), _geometry=geometry)

    @classmethod
    def concat(cls, tables: Sequence[Table], *, share: bool = True) -> Table:
        """All rows of all tables, in this order.

        Classes that the first table lacks are added from the others. Vertices of large
        tables are shared, not copied, unless `share` is False.
        """
        if not tables:
            return cls.empty()
        if len(tables) == 1:
            table = tables[0]
            return table if share else replace(table, _geometry=table._geometry.dense())
        classes = tables[0].classes
        for table in tables[1:]:
            classes = with_classes_of(classes, table.classes)
        same = [table.recoded(classes) for table in tables]
        attributes: dict[int, Attributes] = {}
        start = 0
        for table in same:
            attributes.update((start + row, found) for row, found in table.attributes.items())
            start += len(table)

        def joined(name: str) -> NDArray[Any]:
            columns = [getattr(table, name) for table in same if len(table)]
            if columns and all(_is_constant(one) and one[0] == columns[0][0] for one in columns):
                return np.broadcast_to(columns[0][:1], (sum(map(len, columns)),))
            return frozen(np.concatenate(columns or [getattr(same[0], name)]))

        return cls(
            ids=joined("ids"),
            order=joined("order"),
            class_id=joined("class_id"),
            object_type=_compact(joined("object_type")),
            flags=_compact(joined("flags")),
            kind=_compact(joined("kind")),
            z=_compact(joined("z")),
            t=_compact(joined("t")),
            bounds=joined("bounds"),
            classes=classes,
            attributes=attributes,
            _geometry=concatenated([table._geometry for table in same], share),
        )

    # Geometry

    @property
    def geometry(self) -> Geometry:
        """All vertices and their offsets; gathered now if the table shared those of others."""
        dense = self._geometry.dense()
        # kept, so that it is gathered once; what the table says is the same before and after
        object.__setattr__(self, "_geometry", dense)
        return dense

    @property
    def row_parts(self) -> NDArray[Any]:
        """Row k owns parts ``row_parts[k]`` to ``row_parts[k + 1]``; (n + 1,) int32 or int64."""
        return self.geometry.row_parts

    @property
    def part_rings(self) -> NDArray[Any]:
        """Part j owns rings ``part_rings[j]`` to ``part_rings[j + 1]``; (p + 1,) int32 or int64."""
        return self.geometry.part_rings

    @property
    def ring_coords(self) -> NDArray[Any]:
        """Ring i is ``coords[ring_coords[i]:ring_coords[i + 1]]``; (r + 1,) int32 or int64."""
        return self.geometry.ring_coords

    @property
    def coords(self) -> NDArray[np.int32]:
        """The vertices of open rings, (v, 2) int32, in steps of 1/GRID px."""
        return self.geometry.coords

    def shape(self, row: int) -> Shape:
        """The shape of one row, in image pixels."""
        source, at = source_of(self._geometry, row)
        parts = source.part_rings[source.row_parts[at] : source.row_parts[at + 1] + 1]
        rings = source.ring_coords[parts[0] : parts[-1] + 1]
        coords = source.coords[rings[0] : rings[-1]] / GRID
        return Shape(coords, rings - rings[0], parts - parts[0], ShapeKind(int(self.kind[row])))

    # Rows

    def __len__(self) -> int:
        return len(self.order)

    def id(self, row: int) -> uuid.UUID:
        return uuid.UUID(bytes=self.ids[row].tobytes())

    def class_name(self, row: int) -> str | None:
        number = int(self.class_id[row])
        return self.classes[number - 1].name if number else None

    def annotation(self, row: int) -> Annotation:
        """One row as a value."""
        row = range(len(self))[row]
        own = self.attributes.get(row, _PLAIN)
        return Annotation(
            shape=self.shape(row),
            id=self.id(row),
            class_name=self.class_name(row),
            name=own.name,
            plane=Plane(int(self.z[row]), int(self.t[row])),
            object_type=OBJECT_TYPES[self.object_type[row]],
            locked=bool(self.flags[row] & LOCKED),
            color=own.color,
            measurements=own.measurements,
            metadata=own.metadata,
            provenance=own.provenance,
            extra=own.extra,
        )

    def annotations(self) -> Iterator[Annotation]:
        """All rows as values, one at a time."""
        return map(self.annotation, range(len(self)))

    def take(self, rows: ArrayLike) -> Table:
        """These rows, in this order. Vertices of many rows are shared, not copied."""
        chosen_rows = np.asarray(rows, np.int64)
        if len(chosen_rows) == len(self) and (chosen_rows == np.arange(len(self))).all():
            return self
        return replace(self._columns_at(chosen_rows), _geometry=chosen(self._geometry, chosen_rows))

    def _columns_at(self, rows: Rows) -> Table:
        def at(name: str) -> NDArray[Any]:
            column = getattr(self, name)
            if _is_constant(column):
                return np.broadcast_to(column[:1], (len(rows), *column.shape[1:]))
            return frozen(column.take(rows, axis=0))

        return replace(
            self,
            ids=at("ids"),
            order=at("order"),
            class_id=at("class_id"),
            object_type=_compact(at("object_type")),
            flags=_compact(at("flags")),
            kind=_compact(at("kind")),
            z=_compact(at("z")),
            t=_compact(at("t")),
            bounds=at("bounds"),
            attributes=_attributes_at(self.attributes, rows, len(self)),
        )

    # Changed copies, which share all that is not changed

    def with_class(self, name: str | None, color: Color | None = None) -> Table:
        """The same rows, all of this class; a class that is new here gets `color` or one of its name."""
        classes = self.classes
        if name and name not in (one.name for one in classes):
            classes = checked_classes((*classes, AnnotationClass(name, color or color_of_name(name))))
        number = next((k for k, one in enumerate(classes, 1) if one.name == name), 0)
        class_id = frozen(np.full(len(self), number, np.uint16))
        return replace(self, classes=classes, class_id=class_id)

    def with_order(self, order: NDArray[np.int64]) -> Table:
        return replace(self, order=_frozen_column(order, np.int64, (len(self),)))

    def with_new_ids(self, mask: Mask | None = None) -> Table:
        """The same rows; those in the mask (all, without one) become annotations of their own."""
        ids = np.array(self.ids)
        ids[slice(None) if mask is None else mask] = random_ids(
            len(self) if mask is None else int(np.count_nonzero(mask))
        )
        return replace(self, ids=frozen(ids))

    def with_geometry_of(self, other: Table) -> Table:
        """The same rows, sharing the vertices of a table whose vertices are equal."""
        return replace(self, _geometry=other._geometry, bounds=other.bounds)

    def overwritten(self, rows: Rows, other: Table, by: Rows) -> Table:
        """These rows with class, type and flags of the rows `by` of `other`; the classes must be the same."""
        return replace(
            self,
            class_id=_overwritten(self.class_id, rows, other.class_id, by),
            object_type=_overwritten(self.object_type, rows, other.object_type, by),
            flags=_overwritten(self.flags, rows, other.flags, by),
        )

    def recoded(self, classes: Classes, renamed: Mapping[str, str | None] | None = None) -> Table:
        """The same rows with class numbers in terms of other classes.

        `renamed` says what becomes of classes that are not among them: another name, or None
        for unclassified.

        Raises
        ------
        SamdeskError
            When a class that is used is neither among them nor renamed.
        """
        if classes == self.classes:
            return self
        numbers = class_numbers(self.classes, classes, renamed)
        used = np.bincount(self.class_id, minlength=len(numbers)) > 0
        missing = np.flatnonzero(used & (numbers < 0))
        if len(missing):
            raise SamdeskError(
                f"There is no class named “{self.classes[missing[0] - 1].name}”.",
                "Add the class before annotations of it.",
            )
        if (numbers[used] == np.flatnonzero(used)).all():
            return replace(self, classes=classes)
        codes = np.maximum(numbers, 0).astype(np.uint16)
        return replace(self, classes=classes, class_id=frozen(codes[self.class_id]))

    # Comparing and counting

    def same_geometry(self, other: Table) -> Mask:
        """Which rows have the same vertices, kind and plane in both; (n,) bool."""
        same = same_rows(self._geometry, other._geometry)
        for name in ("kind", "z", "t"):
            same &= _equal(getattr(self, name), getattr(other, name))
        return same

    def same_attributes(self, other: Table) -> Mask:
        """Which rows have the same attributes in both; (n,) bool."""
        same = np.ones(len(self), np.bool_)
        mine, theirs = self.attributes, other.attributes
        if mine is theirs:
            return same
        if not (mine and theirs):
            same[list(mine or theirs)] = False
            return same
        same[list(mine.keys() ^ theirs.keys())] = False
        for row in mine.keys() & theirs.keys():
            # mostly the very same, as tables share what is not changed
            if mine[row] is not theirs[row] and mine[row] != theirs[row]:
                same[row] = False
        return same

    def same_rows(self, other: Table) -> Mask:
        """Which rows are the same annotation, unchanged, at the same place in the list; (n,) bool."""
        same = self.same_geometry(other) & self.same_attributes(other)
        numbers = class_numbers(other.classes, self.classes)
        same &= self.class_id == numbers[other.class_id]
        for name in ("order", "object_type", "flags"):
            same &= _equal(getattr(self, name), getattr(other, name))
        if self.ids is not other.ids:
            same &= (self.ids == other.ids).all(axis=1)
        return same

    def is_made_of(self, other: Table) -> bool:
        """Whether both keep the very same columns, so that no row needs a look."""
        names = (*_COLUMNS, "attributes", "_geometry")
        return self.classes == other.classes and all(getattr(self, n) is getattr(other, n) for n in names)

    def bounding_box(self) -> Bounds | None:
        """The box around all rows; None when there is no row."""
        if not len(self):
            return None
        (x0, y0), (x1, y1) = self.bounds[:, :2].min(axis=0), self.bounds[:, 2:].max(axis=0)
        return Bounds(float(x0), float(y0), float(x1), float(y1))

    def arrays(self) -> list[NDArray[Any]]:
        """Every array this table keeps alive; some may be kept by other tables too."""
        columns: list[NDArray[Any]] = [self.ids, self.order, self.class_id, self.object_type, self.flags]
        return [*columns, self.kind, self.z, self.t, self.bounds, *self._geometry.arrays()]

    @property
    def nbytes(self) -> int:
        """Memory of all that it keeps alive; attributes are estimated."""
        return held_bytes(self.arrays()) + ATTRIBUTES_BYTES * len(self.attributes)


def held_bytes(arrays: Iterable[NDArray[Any]]) -> int:
    """Memory of these arrays, each counted once."""
    distinct = {id(array): array for array in arrays}.values()
    return sum(array.nbytes if any(array.strides) else array.itemsize for array in distinct)


def random_ids(n: int) -> NDArray[np.uint8]:
    """Random UUIDs (version 4, RFC 9562) as a column, (n, 16) uint8."""
    ids = np.frombuffer(bytearray(os.urandom(16 * n)), np.uint8).reshape(n, 16)
    ids[:, 6] = ids[:, 6] & 0x0F | 0x40
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids


def class_numbers(
    classes: Classes, others: Classes, renamed: Mapping[str, str | None] | None = None
) -> NDArray[np.int64]:
    """For every class number in `classes` the one in `others`, -1 when it has none; (k + 1,)."""
    numbers: dict[str | None, int] = {one.name: k for k, one in enumerate(others, 1)}
    numbers.update(
        (old, numbers.get(new, -1) if new else 0)
        for old, new in (renamed or {}).items()
        if old not in numbers
    )
    return np.array([0, *(numbers.get(one.name, -1) for one in classes)], np.int64)


def with_classes_of(classes: Classes, others: Iterable[AnnotationClass]) -> Classes:
    """`classes`, followed by those of `others` whose names are new."""
    known = {one.name for one in classes}
    new = tuple(one for one in others if one.name not in known)
    return checked_classes((*classes, *new)) if new else classes


def with_names(classes: Classes, names: Iterable[str]) -> Classes:
    """`classes`, followed by classes for those names that are new."""
    return with_classes_of(classes, (AnnotationClass(name, color_of_name(name)) for name in names))


def checked_classes(classes: Iterable[AnnotationClass]) -> Classes:
    found = tuple(AnnotationClass(*one) for one in classes)
    if len({one.name for one in found}) < len(found) or not all(one.name for one in found):
        raise SamdeskError(
            "Two classes have the same name, or one has none.", "Give each class a name of its own."
        )
    if len(found) > MOST_CLASSES:
        raise SamdeskError(f"There are {len(found)} classes.", f"At most {MOST_CLASSES} can be kept.")
    return found


def _object_type(name: str) -> int:
    if name not in OBJECT_TYPES:
        raise SamdeskError(f"“{name}” is not a kind of object.", f"Known kinds: {', '.join(OBJECT_TYPES)}.")
    return OBJECT_TYPES.index(name)


def _joined_shapes(shapes: Sequence[Shape]) -> tuple[NDArray[Any], ...]:
    """Vertices and offsets of rings, parts and rows."""
    coords = np.concatenate([np.empty((0, 2)), *(shape.coords for shape in shapes)])

    def offsets(pieces: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        before = np.cumsum([0, *(piece[-1] for piece in pieces)])
        shifted = [piece[1:] + start for piece, start in zip(pieces, before[:-1], strict=True)]
        return np.concatenate([np.zeros(1, np.int64), *shifted])

    parts = np.cumsum([0, *(len(shape.parts) - 1 for shape in shapes)])
    return coords, offsets([s.rings for s in shapes]), offsets([s.parts for s in shapes]), parts


def _frozen_column(values: ArrayLike, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.asarray(values, dtype)
    if array.shape != shape:
        array = np.broadcast_to(array, shape)
    return frozen(array)


def _compact(column: NDArray[Any]) -> NDArray[Any]:
    """A long column of one value as that value with stride 0."""
    if len(column) < _CONSTANT_FROM or not column.strides[0] or column.min() != column.max():
        return column
    return np.broadcast_to(column[:1].copy(), column.shape)


def _bounds(geometry: Geometry) -> NDArray[np.float32]:
    """x0, y0, x1, y1 of every row in px, rounded outward to float32; (n, 4)."""
    bounds = np.empty((len(geometry), 4), np.float32)
    if not len(geometry):
        return bounds
    starts = geometry.row_coords[:-1]
    for axis in (0, 1):
        along = geometry.coords[:, axis]
        for column, extreme, outward in (
            (axis, np.minimum.reduceat(along, starts), -np.inf),
            (axis + 2, np.maximum.reduceat(along, starts), np.inf),
        ):
            exact = extreme / GRID
            rounded = exact.astype(np.float32)
            beyond = np.nextafter(rounded, np.float32(outward))
            inside = rounded > exact if outward < 0 else rounded < exact
            bounds[:, column] = np.where(inside, beyond, rounded)
    bounds.flags.writeable = False
    return bounds


def _attributes_at(attributes: Mapping[int, Attributes], rows: Rows, n: int) -> Mapping[int, Attributes]:
    if not attributes:
        return attributes
    if len(rows) > len(attributes):
        has = np.zeros(n, np.bool_)
        has[list(attributes)] = True
        places = np.flatnonzero(has[rows])
    else:
        places = np.arange(len(rows))
    pairs = zip(places.tolist(), rows[places].tolist(), strict=True)
    return {place: attributes[row] for place, row in pairs if row in attributes}


def _overwritten(column: NDArray[Any], rows: Rows, values: NDArray[Any], by: Rows) -> NDArray[Any]:
    """The column with ``values[by]`` at `rows`; the same one when that changes nothing."""
    if not len(rows) or (_is_constant(column) and _is_constant(values) and column[0] == values[0]):
        return column
    new = values[by]
    if (column[rows] == new).all():
        return column
    changed = np.array(column)
    changed[rows] = new
    return frozen(changed)


def _is_constant(column: NDArray[Any]) -> bool:
    return len(column) > 0 and not any(column.strides)


def _equal(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.True_ if a is b else a == b  # type: ignore[return-value]
