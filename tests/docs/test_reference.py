"""The reference is complete, and comments become the paragraphs and lists that they look like."""

import re
import textwrap

import pytest
import reference
import sidecall
from header_reader import read_header
from plain_text import inline, translate
from snippets import ROOT


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference.pages()


def test_every_function_of_the_c_interface_is_documented(pages: dict[str, str]) -> None:
    symbols = (ROOT / "bindings/c/abi/symbols.txt").read_text(encoding="utf-8").split()
    text = "".join(page for name, page in pages.items() if name.endswith("_h.rst"))
    documented = set(re.findall(r"(sidecall_\w+)\(", "\n".join(signatures(text))))
    assert set(symbols) - documented == set()


def signatures(page: str) -> list[str]:
    """The lines of directives that declare functions, and those that continue them."""
    return re.findall(r"^(?:\.\. c:function:: | {16})(.*)$", page, re.MULTILINE)


def test_every_header_has_a_page(pages: dict[str, str]) -> None:
    headers = [*reference.INCLUDE.glob("*.h"), *reference.INCLUDE.glob("*.hpp")]
    assert {f"{path.name.replace('.', '_')}.rst" for path in headers} | {"python.rst"} == set(pages)


def test_private_parts_of_classes_are_left_out(pages: dict[str, str]) -> None:
    assert ".. cpp:class:: Model" in pages["sidecall_hpp.rst"]
    assert not re.search(r"\b\w+_$", pages["sidecall_hpp.rst"], re.MULTILINE)
    assert "detail::" not in pages["sidecall_hpp.rst"]


def test_every_public_name_of_python_is_documented(pages: dict[str, str]) -> None:
    for name in sidecall.__all__:
        found = f"sidecall.{name}\n" in pages["python.rst"]
        assert found or name == "Error", name  # Error is documented with the other errors


def test_the_glossary_has_the_terms_of_the_header() -> None:
    header = (reference.INCLUDE / "sidecall.h").read_text(encoding="utf-8")
    (terms,) = re.findall(r"^ \* Terms:\n \*\n(.*?)\n \*\n", header, re.MULTILINE | re.DOTALL)
    glossary = plain((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")).lower()
    found = re.findall(r"^ \* (\w[\w ]{11})(.*(?:\n \* {13}.*)*)", terms, re.MULTILINE)
    assert len(found) >= 9
    for term, meaning in found:
        text = plain(re.sub(r"\n \*", " ", meaning).replace(" (docs/contract.md)", ""))
        assert f"| {term.strip()} | {text}".lower() in glossary, term


def plain(text: str) -> str:
    """The words of a text without markup."""
    return " ".join(re.sub(r"[*`\"]", "", text).split())


HEADER = """
/* x.h: an example. */
#ifndef X_H
#define X_H
#ifdef __cplusplus
extern "C" {
#endif

/* ---- Numbers ---- */

/* Two constants. */
#define SIDECALL_ONE 1    /* the first */
#define SIDECALL_TWO 2

typedef struct sidecall_thing sidecall_thing;

/* A thing. */
struct sidecall_thing {
  int32_t size;           /* in bytes */
  /* Told twice. */
  const char *name;
};

/* Adds. */
SIDECALL_API int32_t sidecall_add(int32_t a,
                                  int32_t b);
SIDECALL_API int32_t sidecall_sub(int32_t a, int32_t b);

#ifdef __cplusplus
}
#endif
#endif
"""


def test_declarations_are_read_with_their_comments() -> None:
    groups = read_header(HEADER)
    assert [group.comment or group.section for group in groups] == [
        "x.h: an example.",
        "Numbers",
        "Two constants.",
        "A thing.",
        "Adds.",
    ]
    constants, thing, functions = (group.declarations for group in groups[2:])
    assert [(one.name, one.remark) for one in constants] == [
        ("SIDECALL_ONE", "1: the first"),
        ("SIDECALL_TWO", "2"),
    ]
    members = [(one.name, one.remark) for group in thing[0].groups for one in group.declarations]
    assert members == [("size", "in bytes"), ("name", "")]
    assert [one.text for one in functions] == [
        "int32_t sidecall_add(int32_t a, int32_t b)",
        "int32_t sidecall_sub(int32_t a, int32_t b)",
    ]


CLASS = """
/* A box. */
template <typename T>
class Box : public Base {
 public:
  /* Opens. */
  explicit Box(std::function<void(T)> done = {}) : done_(std::move(done)) { run("}"); }
  Box(Box &&other) noexcept;
  Box(const Box &) = delete;
  ~Box() { close(); }
  T &operator[](size_t index) const noexcept { return data_[index]; }

 private:
  /* Hidden. */
  T *data_ = nullptr;
};
"""


def test_classes_are_read_without_bodies_and_private_parts() -> None:
    (group,) = read_header(CLASS)
    (box,) = group.declarations
    assert box.text == "template <typename T> Box : public Base"
    assert [one.text for inner in box.groups for one in inner.declarations] == [
        "explicit Box(std::function<void(T)> done = {})",
        "~Box()",
        "T &operator[](size_t index) const noexcept",
    ]


def as_text(comment: str) -> str:
    return "\n".join(translate(textwrap.dedent(comment).strip("\n")))


def test_terms_become_a_list() -> None:
    comment = """
        Opens it.

        uri         a path, or
                    an address
        name,       two terms that
        version     share a text
        """
    expected = """
        Opens it.

        ``uri``
           a path, or an address

        ``name``, ``version``
           two terms that share a text
        """
    assert as_text(comment) == textwrap.dedent(expected).strip("\n")


def test_lists_and_code_keep_their_form() -> None:
    comment = """
        Either
        - the first
          of two, or
        - the second.
        Then go on:

          run();

          stop();
        """
    expected = """
        Either

        - the first of two, or
        - the second.

        Then go on:

        .. code-block:: cpp

           run();

           stop();
        """
    assert as_text(comment) == textwrap.dedent(expected).strip("\n")


def test_names_become_code_and_the_rest_is_escaped() -> None:
    assert inline("Sets *out_x to a*b, see `y` and run().") == (
        r"Sets ``*out_x`` to a\*b, see ``y`` and ``run()``\ ."
    )


def test_each_labelled_part_of_a_description_is_a_paragraph() -> None:
    comment = """
        uri  local: a path
             remote: an address, such as
             shm:///run/x
        """
    expected = """
        ``uri``
           local: a path

           remote: an address, such as ``shm:///run/x``
        """
    assert as_text(comment) == textwrap.dedent(expected).strip("\n")


def test_statuses_of_a_list_of_errors_are_linked() -> None:
    link = reference.c_linker({"SIDECALL_BUSY": "macro", "sidecall_run": "func"})
    assert inline("Errors: BUSY, and those of sidecall_run.", link) == (
        r"**Errors:** :c:macro:`BUSY <SIDECALL_BUSY>`\ , and those of :c:func:`sidecall_run`\ ."
    )


def test_examples_of_docstrings_show_file_names_instead_of_test_fixtures() -> None:
    lines = reference.python_lines(
        ['>>> model = open(getfixture("models") / "a.onnx")', '>>> getfixture("matrix").name'],
        lambda name, quoted, lists_errors: None,
    )
    assert lines == ['>>> model = open("a.onnx")', '>>> sidecall.open("matrix.onnx").name']
