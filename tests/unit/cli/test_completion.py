from __future__ import annotations

import subprocess

import pytest

from fluss_server.cli.completion import _typed
from fluss_server.cli.main import main
from fluss_server.cli.parser import build_parser


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_scripts_offer_values_as_they_are_written(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert "OutputFormat" not in text
    assert "table" in text
    assert "export" in text


def test_bash_completes_values_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    text = script("bash", capsys)

    def completed(*words: str) -> list[str]:
        # The command is replaced by a function, as no server runs here.
        program = (
            f"{text}\nfluss() {{ [ $1 = _names ] && printf '%s\n' $2.first $2.second; }}\n"
            f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; _shtab_fluss\n"
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        result = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, timeout=30)
        return result.stdout.split()

    assert completed("fluss", "tail", "t", "--output", "") == ["table", "json", "csv", "arrow"]
    assert "tail" in completed("fluss", "ta")
    assert completed("fluss", "tail", "ta") == ["tables.first", "tables.second"]
    assert completed("fluss", "tail", "tables.f") == ["tables.first"]
    assert completed("fluss", "tail", "t", "--columns", "a,columns.s") == ["a,columns.second"]
    assert completed("fluss", "acl", "grant", "bob", "READ", "--database", "d") == [
        "databases.first",
        "databases.second",
    ]


def test_fish_has_a_line_for_everything(capsys: pytest.CaptureFixture[str]) -> None:
    lines = script("fish", capsys).splitlines()
    commands = next(action.choices for action in build_parser()._actions if action.dest == "command")
    assert commands is not None
    for name in commands:
        assert any(f" -a {name}" in line and "not __fish_seen_subcommand_from" in line for line in lines), name
    assert "complete -c fluss -n '__fish_seen_subcommand_from tail' -l output -s o -x -a 'table json csv arrow'" in {
        line.partition(" -d ")[0] for line in lines
    }
    tables = "-a '(fluss _names tables (commandline -opc) 2>/dev/null)'"
    assert any("seen_subcommand_from head" in line and tables in line for line in lines)


def test_the_words_typed_so_far_are_understood() -> None:
    words = ["fluss", "tail", "-f", "--server", "host:1", "-n", "5", "shop.orders", "--columns", ""]
    typed = _typed(words)
    assert typed["command"] == "tail"
    assert typed["--server"] == "host:1"
    assert typed["table"] == "shop.orders"
    assert _typed(words[1:]) == typed, "zsh leaves out the program"
    assert "table" not in _typed(["fluss", "get"])
