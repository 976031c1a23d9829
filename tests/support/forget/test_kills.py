"""Whatever dies when: the same command, given again, ends as if nothing had happened."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Script
from wallet_pipeline.support.customers import UnknownCustomerError

from .conftest import ANNA, Forgotten, Installation
from .test_forgetting import bodies, statuses

# Where a process is killed: module, function, and whether before or after it is called.
MOMENTS = [
    ("support.forget.forgetting", "erase_deliveries", "after"),
    ("support.forget.forgetting", "publish", "after"),
    ("warehouse.rewrite", "put_in_place", "before"),
    ("warehouse.rewrite", "put_in_place", "after"),
]
# A child for each moment: importing takes longer than forgetting.
KILL_EACH = """
    import importlib, os, signal
    from datetime import UTC, datetime
    from pathlib import Path
    from wallet_pipeline.settings import Settings
    from wallet_pipeline.support.forget.forgetting import Forgetting

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def let_die(module, name, when):
        module = importlib.import_module("wallet_pipeline." + module)
        original = getattr(module, name)

        def dying(*arguments, **named):
            if when == "after":
                original(*arguments, **named)
            die()

        setattr(module, name, dying)

    for place, moment in enumerate({moments}):
        child = os.fork()
        if child == 0:
            let_die(*moment)
            folder = Path(str(place))
            forgetting = Forgetting(Settings(data_dir=folder / "data"), folder, lambda: datetime.now(UTC))
            forgetting.remove("{asked}", clear_crm=False)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else "it went on", flush=True)
"""


@pytest.fixture
def killed(
    built: Installation, tmp_path: Path, start_script: Callable[[str], Script], monkeypatch: pytest.MonkeyPatch
) -> list[Installation]:
    """Give an installation for each of the moments, in which a process died at that moment."""
    monkeypatch.delenv("DATA_DIR", raising=False)
    homes = []
    for place in range(len(MOMENTS)):
        ignored = shutil.ignore_patterns("crm.sqlite*")
        shutil.copytree(built.folder, tmp_path / str(place), ignore=ignored, symlinks=True)
        homes.append(Installation(tmp_path / str(place), built.given))
    printed = start_script(KILL_EACH.format(moments=MOMENTS, asked=ANNA)).finish()
    assert printed.split() == ["9"] * len(MOMENTS), printed
    return homes


def test_kill_at_any_moment_is_made_good_by_the_same_command(killed: list[Installation], forgotten: Forgotten) -> None:
    """Nothing of her is left, all of the others is there, no erasure is unfinished; often she is unknown by then."""
    unknown = []
    for home, moment in zip(killed, MOMENTS, strict=True):
        finished = home.forgetting().finish()
        try:
            home.forgetting().remove(ANNA, clear_crm=False)
        except UnknownCustomerError:
            unknown.append(moment)
        assert (moment, finished) == (moment, moment in MOMENTS[1:])
        assert (moment, home.found_in(), home.files_with()) == (moment, set(), set())
        assert (moment, statuses(home), bodies(home)) == (moment, statuses(forgotten.home), bodies(forgotten.home))
        assert home.rows("SELECT count(*), count(finished_at) FROM raw.erasures") == [(1, 1)]
    assert unknown == MOMENTS[1:]
