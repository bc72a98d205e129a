"""A folder with one output for each shard, and a record of what the outputs were made by and of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.atomic import check_folder, remove_leftovers, writing
from narrows.data.shard_files import ShardFile
from narrows.data.wording import short
from narrows.errors import InputError

MANIFEST = "_narrows.json"  # readers of shards pass over names that begin so


@dataclass(frozen=True)
class Task:
    """A shard, and where what is made of it goes.

    Parameters
    ----------
    shard : ShardFile
        The shard.
    target : Path
        The file, or folder of images, to write.
    """

    shard: ShardFile
    target: Path


@dataclass(frozen=True)
class ShardFolder:
    """The outputs of one verb, one model and one set of options, each of a shard that has not changed since.

    An output is there whole, under the name of its shard, or not at all: so what is there is finished.

    Parameters
    ----------
    path : Path
        The folder, there already or yet to be made.
    tasks : sequence of Task
        All shards.
    conditions : mapping
        What the outputs hold for, by the names that a person knows; plain JSON values.
    """

    path: Path
    tasks: Sequence[Task]
    conditions: Mapping[str, Any]

    def begin(self) -> list[Task]:
        """Make the folder and its record; return the tasks that are not finished.

        Raises
        ------
        InputError
            If it is no such folder, of other conditions, or a shard is another one than its output was made of.
        """
        check_folder(self.path)
        known, finished = self._known(), [task for task in self.tasks if task.target.exists()]
        marks = {task.shard.path.name: task.shard.mark() for task in self.tasks}
        for task in finished:
            name = task.shard.path.name
            if known.get(name) != marks[name]:
                raise InputError(
                    f"{short(str(task.shard.path))} is not what it was when {task.target.name} was made of it; remove "
                    f"{short(str(task.target))}, or give another folder"
                )
        self.path.mkdir(parents=True, exist_ok=True)
        with writing(self.path / MANIFEST) as beside:
            record = {"conditions": dict(self.conditions), "shards": {**known, **marks}}
            beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return [task for task in self.tasks if task not in finished]

    def end(self) -> None:
        """Remove what workers that were killed left half-written; none may be at work any more."""
        remove_leftovers([*(task.target for task in self.tasks), self.path / MANIFEST])

    def _known(self) -> dict[str, str]:
        """Marks of the shards that outputs were made of; raises `InputError` where the folder is another's."""
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return {}
        file = self.path / MANIFEST
        if not file.is_file():
            raise InputError(f"{short(str(self.path))} holds other files than outputs of shards; give a new folder")
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            known, conditions = dict(record["shards"]), dict(record["conditions"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{short(str(file))} is damaged; give a new folder") from error
        for name in [*self.conditions, *(conditions.keys() - self.conditions.keys())]:
            if conditions.get(name) != self.conditions.get(name):
                raise InputError(
                    f"{short(str(self.path))} holds outputs of {name} {short(conditions.get(name))}, and "
                    f"{short(self.conditions.get(name))} was given; give a new folder, or what it was made with"
                )
        return known
