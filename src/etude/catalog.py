"""Finds papers, tasks and methods: Etude's own, and those of plug-ins.

Nothing is registered by hand. Cards are the files in ``papers/``; tasks and methods are found by the
folders ``<area>/<task>`` that hold a ``task.py``; plug-ins by the entry-point group
``etude.methods``, each entry naming a module that exports method classes and may export a ``TASK``,
in a package that may have cards in a folder ``papers``. Only what is asked for is imported: cards
need no method, and one method needs only its own task.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from etude.errors import InputError, unknown

if TYPE_CHECKING:
    from etude.card import Card
    from etude.task import Task

ROOT = Path(__file__).parent
GROUP = "etude.methods"


@cache
def papers() -> dict[str, Card]:
    """All cards by slug, sorted.

    Raises
    ------
    InputError : for a card that is malformed, naming the file and the field.

    Examples
    --------
    >>> papers()["flap"].arxiv
    '2312.11983'
    """
    from etude.card import read

    cards: dict[str, Card] = {}
    for folder in (ROOT / "papers", *_plugin_papers()):
        for path in sorted(folder.glob("*.toml")):
            card = read(path, own=folder.parent == ROOT)
            if card.slug in cards:
                raise InputError(str(path), f"slug: there is a paper {card.slug!r} already; choose another")
            cards[card.slug] = card
    return dict(sorted(cards.items()))


def paper(slug: str) -> Card:
    """One card, or `InputError` with the nearest slugs."""
    cards = papers()
    if slug not in cards:
        raise unknown("paper", slug, cards)
    return cards[slug]


def tasks() -> dict[str, Task]:
    """All tasks by name; imports every task and plug-in."""
    found = chain(((_task_of(package), package) for package in _packages()), _plugin_tasks())
    return _unique((task.name, task, source) for task, source in found)


def task(name: str) -> Task:
    """One task by name; the others are imported only if neither a folder nor a plug-in has that name.

    Raises
    ------
    InputError : with the nearest names.
    """
    likely = (_task_of(package) for package in _packages() if package.endswith(f".{name}"))
    for candidate in chain(likely, (brought for brought, _ in _plugin_tasks())):
        if candidate.name == name:
            return candidate
    every = tasks()
    if name not in every:
        raise unknown("task", name, every)
    return every[name]


def methods() -> dict[str, type[Any]]:
    """All method classes by name, by ``task/name`` where several tasks have that name; imports them all.

    Raises
    ------
    InputError : if two methods of a task have one name, or a plug-in cannot be imported.
    """
    found = [(importlib.import_module(package), package) for package in _packages()]
    found += [(module, entry.value) for entry, module in _plugins()]
    every = [(cls, source) for module, source in found for cls in _exported(module)]
    names = dict(_names((cls.name, cls.task) for cls, _ in every))
    return _unique((names[cls.name, cls.task], cls, source) for cls, source in every)


def method(name: str, task: str | None = None) -> type[Any]:
    """One method class by name; of Etude's own tasks only the one that has it is imported.

    Parameters
    ----------
    name : of the method, or ``task/name``.
    task : the task that it is looked for in, if it is known.

    Raises
    ------
    InputError : with the nearest names; or with the full names, if several tasks have a method of that name.

    Examples
    --------
    >>> method("dense", "prune") is method("prune/dense")
    True
    """
    tasks = [each for each in tasks_of(name) if task in (None, each)] or tasks_of(name)
    name = name.rpartition("/")[2]
    if len(tasks) > 1:
        full = " or ".join(f"{each}/{name}" for each in tasks)
        raise InputError("method", f"{name!r} is a method of several tasks; write {full}")
    own = next((each for each in _declared() if (each.name, [each.task]) == (name, tasks)), None)
    modules = [module for _, module in _plugins()] if own is None else [importlib.import_module(own.package)]
    found = {(cls.name, cls.task): cls for module in modules for cls in _exported(module)}
    chosen: type[Any] = found[name, tasks[0]]
    return chosen


def tasks_of(name: str) -> list[str]:
    """The tasks that have a method of a name, one for ``task/name``; Etude's own before plug-ins'.

    Raises
    ------
    InputError : with the nearest names, if there is none.
    """
    asked, _, bare = name.rpartition("/")
    for pairs in (_own, _pairs):
        if found := sorted(task for each, task in pairs() if each == bare and asked in ("", task)):
            return found
    raise unknown_name("method", name, method_names())


def methods_of(task: str) -> list[str]:
    """All methods of a task, as ``task/name``, without importing Etude's own.

    Raises
    ------
    InputError : with the nearest names, if there is no such task.

    Examples
    --------
    >>> methods_of("prune")[:2]
    ['prune/d-pruner', 'prune/dense']
    """
    if found := sorted(name for name, each in _pairs() if each == task):
        return [f"{task}/{name}" for name in found]
    raise unknown("task", task, {each for _, each in _pairs()})


def method_names() -> list[str]:
    """The names of all methods, ``task/name`` where several tasks have it, without importing Etude's own."""
    return sorted(name for _, name in _names(_pairs()))


def bare_names() -> set[str]:
    """What may name a method: its name, whatever its task, and ``task/name``."""
    return {form for name, task in _pairs() for form in (name, f"{task}/{name}")}


def unknown_name(field: str, name: str, known: Iterable[str]) -> InputError:
    """An `InputError` for a name that does not exist: with ours if it is an alias, else the nearest.

    Examples
    --------
    >>> str(unknown_name("method", "first_ranker", method_names()))
    "method: unknown 'first_ranker'; what Rankify calls so is 'first' here"
    """
    for card in papers().values():
        if name in card.aliases:
            ours = card.aliases[name]
            return InputError(field, f"unknown {name!r}; what {card.name} calls so is {ours!r} here")
    return unknown(field, name, known)


def outcome(slug: str) -> str:
    """What came of a paper's claim: "holds", "does not hold", "not decided" or "not run"."""
    from etude import claims

    return claims.outcome(slug)


def claimed() -> list[str]:
    """The slugs of the papers whose claim can be checked."""
    return [slug for slug in papers() if (ROOT / "claims" / f"{module_name(slug)}.py").exists()]


def module_name(name: str) -> str:
    """The file, without ending, that belongs to a slug or a method's name.

    Examples
    --------
    >>> module_name("d-pruner"), module_name("qwen2.5")
    ('d_pruner', 'qwen2_5')
    """
    return re.sub("[-.]", "_", name)


def row(card: Card) -> dict[str, Any]:
    """A card as one row for lists and JSON."""
    facts = card.model_dump(mode="json")
    return {
        **{key: facts[key] for key in ("slug", "name", "title", "arxiv", "area", "task")},
        "methods": facts["methods"],
        "implemented": card.implemented,
        "claim": outcome(card.slug),
    }


def search(words: str, limit: int = 10) -> list[tuple[str, float]]:
    """Slugs of papers and names of baselines that fit ``words``, best first.

    Names, titles, keywords and tasks count several times, summary and claim once.

    Parameters
    ----------
    words : what to look for, as one would say it.
    limit : how many to return at most.

    Returns
    -------
    list of (slug or method name, BM25 score), scores positive and descending.

    Examples
    --------
    >>> [name for name, _ in search("flap fluctuation pruning", limit=1)]
    ['flap']
    """
    from etude.lookup import rank

    return rank(words, _texts())[:limit]


def summary(name: str) -> str:
    """The first line of the docstring of one of Etude's own methods, without importing it."""
    return _declaration(name).summary()


def place(name: str) -> tuple[str, str]:
    """The area and task folder of one of Etude's own methods, without importing it."""
    _, area, folder = _declaration(name).package.split(".")
    return area, folder


def plugins() -> list[EntryPoint]:
    """The installed plug-ins; imports them, and raises `InputError` for one that cannot be."""
    return [entry for entry, _ in _plugins()]


class _Declaration:
    """Where a method is declared, read from the source so that nothing heavy is imported."""

    def __init__(self, name: str, task: str, path: Path) -> None:
        self.name = name
        self.task = task
        self.path = path
        self.package = _dotted(path.parent)

    def summary(self) -> str:
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and f'method("{self.name}"' in _decorators(node):
                return (ast.get_docstring(node) or "").partition("\n")[0]
        return ""


def _decorators(node: ast.ClassDef) -> str:
    return " ".join(ast.unparse(decorator).replace("'", '"') for decorator in node.decorator_list)


@cache
def _packages() -> tuple[str, ...]:
    """The dotted names of Etude's task packages."""
    return tuple(_dotted(path.parent) for path in sorted(ROOT.glob("*/*/task.py")))


@cache
def _declared() -> tuple[_Declaration, ...]:
    """Etude's own methods, found by the decorator in the source."""
    pattern = re.compile(r'^@method\(\s*"([^"]+)",\s*task="([^"]+)"', re.MULTILINE)
    return tuple(
        _Declaration(name, task, path)
        for package in sorted(ROOT.glob("*/*/task.py"))
        for path in sorted(package.parent.glob("*.py"))
        for name, task in pattern.findall(path.read_text(encoding="utf-8"))
    )


def _declaration(name: str) -> _Declaration:
    """The one that `method_names` calls so."""
    named = dict(_names(_own()))
    return next(each for each in _declared() if named[each.name, each.task] == name)


def _pairs() -> set[tuple[str, str]]:
    """Name and task of all methods."""
    plugged = (cls for _, module in _plugins() for cls in _exported(module))
    return _own() | {(cls.name, cls.task) for cls in plugged}


def _own() -> set[tuple[str, str]]:
    """Name and task of Etude's own methods."""
    return {(each.name, each.task) for each in _declared()}


def _names(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], str]]:
    """What methods, given by name and task, are called: by ``task/name`` where the name is not enough."""
    known = set(pairs)
    counts = Counter(name for name, _ in known)
    return (((name, task), name if counts[name] == 1 else f"{task}/{name}") for name, task in known)


def _dotted(folder: Path) -> str:
    return ".".join(("etude", *folder.relative_to(ROOT).parts))


def _task_of(package: str) -> Task:
    found: Task = importlib.import_module(f"{package}.task").TASK
    return found


def _exported(module: ModuleType) -> Iterator[Any]:
    """The method classes among a module's public names: classes marked by ``@method``."""
    for name, value in vars(module).items():
        if isinstance(value, type) and not name.startswith("_") and {"name", "task"} <= vars(value).keys():
            yield value


def _entries() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


@cache
def _plugins() -> tuple[tuple[EntryPoint, ModuleType], ...]:
    """Plug-ins and their imported modules."""
    loaded = []
    for entry in _entries():
        try:
            loaded.append((entry, importlib.import_module(entry.module)))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(
                entry.name, f"plug-in {entry.value} cannot be imported ({reason}); mend or uninstall it"
            ) from error
    return tuple(loaded)


def _plugin_tasks() -> Iterator[tuple[Task, str]]:
    """The tasks that plug-ins bring, and where they come from."""
    for entry, module in _plugins():
        if hasattr(module, "TASK"):
            yield module.TASK, entry.value


def _plugin_papers() -> Iterator[Path]:
    """The folders of plug-ins' cards, found without importing the plug-ins."""
    for package in dict.fromkeys(entry.module.partition(".")[0] for entry in _entries()):
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(folder) / "papers"


def _unique(found: Iterable[tuple[str, Any, str]]) -> dict[str, Any]:
    """A dictionary of named things; two of one name are an error."""
    named: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, thing, source in found:
        if name in named and named[name] is not thing:
            raise InputError(name, f"both {sources[name]} and {source} define it; rename or uninstall one")
        named[name], sources[name] = thing, source
    return dict(sorted(named.items()))


def _texts() -> dict[str, str]:
    """What `search` looks through: every card, and every method of Etude's own that has no card.

    A method is found by the names that users of other packages know it by, too.
    """
    texts = {}
    theirs = [alias for card in papers().values() for alias in card.aliases.items()]
    for slug, card in papers().items():
        places = [f"{card.area}/{card.task}", *card.also]
        known = [name for name, ours in theirs if ours in card.methods]
        heading = [slug, card.name, card.title, *card.keywords, *places, *card.methods, *known]
        facts = [card.arxiv, card.venue, str(card.year), card.summary, card.claim]
        texts[slug] = " ".join([*heading * 3, *facts])
    carded = {name for card in papers().values() for name in card.methods}
    names = dict(_names(_own()))
    for declaration in _declared():
        name = names[declaration.name, declaration.task]
        if declaration.name not in carded and name not in texts:
            known = [other for other, ours in theirs if ours == name]
            texts[name] = " ".join([*[name] * 5, *known, declaration.package, declaration.summary()])
    return texts
